"""`muster build --vary`: the same release in other circumstances, and what differed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit

if TYPE_CHECKING:
    from muster.build.hermetic.run import HermeticRun
    from muster.build.varied import VariedBuild
    from muster.kinds.release import Release

_CODES = {"different": 1, "failed": 2}


def build_in_circumstances(
    release: Release, lock: bytes, state: Path, where: Mapping[str, Any]
) -> tuple[VariedBuild, ...]:
    """Build in each, telling the terminal's error stream how each came out. `where`: see `environment_options`."""
    from muster.artifacts.store import Store
    from muster.build.varied import build_varied, variations

    run = _run(release, lock, state, where)
    return build_varied(release, Store(state / "store"), run, variations(), _tell)


def show_varied(release: Release, found: Sequence[VariedBuild], output: str) -> int:
    """Print what came out. 0 if nothing differed, 1 if something did, 2 if a build failed and none differed."""
    report = {
        "release": release.name,
        "same": all(one.outcome in ("same", "skipped") for one in found),
        "variations": [_entry(one) for one in found],
    }
    if output == "markdown":
        click.echo(_markdown(report))
    else:
        emit(report, output, lambda: click.echo(_text(report)))
    return min((_CODES[one.outcome] for one in found if one.outcome in _CODES), default=0)


def _run(release: Release, lock: bytes, state: Path, where: Mapping[str, Any]) -> HermeticRun:
    from muster.build.environment import environment_differs
    from muster.build.hermetic.run import hermetic_run, own_run
    from muster.build.sandbox.confinement import level_named

    environment, lowest = where["environment"], level_named(where["sandbox"])
    if environment == "own" or (environment == "any" and not environment_differs(lock)):
        return own_run(release.spec.builder, lock, lowest=lowest)
    return hermetic_run(lock, release.spec.builder.lock, state, wheelhouse=where["wheelhouse"], lowest=lowest)


def _tell(one: VariedBuild) -> None:
    click.echo(f"{one.variation}\t{one.outcome}\t{one.seconds:.1f} s", err=True)


def _entry(one: VariedBuild) -> dict[str, Any]:
    return {
        "variation": one.variation,
        "outcome": one.outcome,
        "reason": one.reason,
        "seconds": round(one.seconds, 3),
        "artifact": one.artifact,
        "firstDifference": one.first_difference,
        "difference": one.difference,
    }


def _headline(report: dict[str, Any]) -> str:
    built = [one for one in report["variations"] if one["outcome"] != "skipped"]
    same = sum(one["outcome"] == "same" for one in built)
    return f"{report['release']}: {same} of {len(built)} varied builds came to the pinned bytes"


def _text(report: dict[str, Any]) -> str:
    from muster.build.difference.rendering import difference_text

    lines = [_headline(report)]
    for one in report["variations"]:
        lines.append(f"  {one['variation']:<28}{one['outcome']:<11}{one['reason'] or one['artifact']}")
        if one["difference"]:
            lines += [f"    {line}" for line in difference_text(one["difference"]).splitlines()]
    return "\n".join(lines)


def _markdown(report: dict[str, Any]) -> str:
    from muster.build.difference.rendering import difference_markdown

    lines = [f"## Varied builds of {report['release']}", "", _headline(report), ""]
    lines += ["| variation | outcome | artifact or reason |", "| --- | --- | --- |"]
    for one in report["variations"]:
        told = (one["reason"] or one["artifact"]).replace("|", "\\|")
        lines.append(f"| {one['variation']} | {one['outcome']} | {told} |")
    for one in report["variations"]:
        if one["difference"]:
            lines += ["", f"## {one['variation']}", "", difference_markdown(one["difference"])]
    return "\n".join(lines)

"""`muster build --vary`: the same release in other circumstances, and what differed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit

if TYPE_CHECKING:
    from muster.artifacts.store import Store
    from muster.build.hermetic.run import HermeticRun
    from muster.build.varied import VariedBuild
    from muster.kinds.release import Release

_CODES = {"different": 1, "failed": 2}


def build_in_circumstances(release: Release, store: Store, run: HermeticRun) -> tuple[VariedBuild, ...]:
    """Build in each, telling the terminal's error stream how each came out."""
    from muster.build.varied import build_varied, variations

    return build_varied(release, store, run, variations(), tell_variation)


def tell_variation(one: VariedBuild) -> None:
    """One line on the terminal's error stream."""
    click.echo(f"{one.variation}\t{one.outcome}\t{one.seconds:.1f} s", err=True)


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
    from muster.review.reports.model_difference import difference_text
    from muster.review.reports.neutral import terminal

    lines = [_headline(report)]
    for one in report["variations"]:
        lines.append(f"  {one['variation']:<28}{one['outcome']:<11}{terminal(_told(one))}")
        if one["difference"]:
            lines += [f"    {line}" for line in difference_text(one["difference"]).splitlines()]
    return "\n".join(lines)


def _markdown(report: dict[str, Any]) -> str:
    from muster.review.reports.model_difference import difference_markdown
    from muster.review.reports.neutral import markdown

    lines = [f"## Varied builds of {report['release']}", "", _headline(report), ""]
    lines += ["| variation | outcome | artifact or reason |", "| --- | --- | --- |"]
    for one in report["variations"]:
        lines.append(f"| {one['variation']} | {one['outcome']} | {markdown(_told(one))} |")
    for one in report["variations"]:
        if one["difference"]:
            lines += ["", f"## {one['variation']}", "", difference_markdown(one["difference"])]
    return "\n".join(lines)


def _told(one: dict[str, Any]) -> str:
    return str(one["reason"] or one["artifact"] or "")

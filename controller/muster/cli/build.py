"""`muster build`: build a release's artifact, or prove that it rebuilds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.build_progress import build_progress
from muster.cli.builder_environment import environment_options, run_in
from muster.cli.output import emit, state_option
from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from muster.build.report import Surroundings
    from muster.kinds.release import Release


@click.command()
@click.argument("release")
@state_option
@click.option("--verify", is_flag=True, help="Rebuild without the cache and compare every output with its pin.")
@click.option("--vary", is_flag=True, help="Rebuild in other circumstances: locale, folder, user, CPU and more.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "yaml", "markdown"]), default="text", show_default=True
)
@environment_options(default=None)
def build(release: str, state: str, verify: bool, vary: bool, output: str, **where: Any) -> int:
    """Build RELEASE, a file `releases/<model>/<version>.yaml` or `<model>/<version>`, into the store.

    The stages run in a sandbox: with --verify in an environment made from the release's lock alone (--environment
    lock), else with the controller's own tools where they are the locked versions (--environment any). With --vary it
    is rebuilt once in each of several circumstances, from its inputs alone; what cannot be varied on this machine is
    named.

    Exits 0 if every output is the pinned one, 1 if one differs (the first is named), 2 if it could not be built.
    """
    from muster.artifacts.store import DamagedObject, Store
    from muster.build.declarations import locate_release, read_bounded, read_release
    from muster.build.difference.sides import inputs_of
    from muster.build.environment import MAX_LOCK
    from muster.build.measuring.machine import this_machine
    from muster.build.pipeline import build_release
    from muster.build.report import build_report
    from muster.build.verification import verify_release

    folder, path = locate_release(release, Path.cwd())
    declared = read_release(folder, path)
    lock = read_bounded(folder, declared.spec.builder.lock, MAX_LOCK)
    store = Store(Path(state) / "store")
    try:
        with build_progress(output) as reporter:
            environment = where["environment"] or ("lock" if verify or vary else "any")
            chosen = {**where, "environment": environment}
            run = run_in(chosen, declared.spec.builder, lock, Path(state))
            if vary:
                from muster.cli.build_vary import build_in_circumstances, show_varied

                return show_varied(declared, build_in_circumstances(declared, store, run), output)
            if verify:
                verification = verify_release(declared, store, lock, reporter=reporter, run=run)
                result, table = verification.result, verification.table
            else:
                result, table = build_release(declared, store, lock, reporter=reporter, run=run), "calibrated"
    except DamagedObject as error:
        # That an input is damaged says nothing about the release.
        raise Unusable(error.message, error.hint) from error
    report = {**build_report(declared, result, _surroundings(folder, declared)), "quantizedFrom": table}
    # What `muster diff-model` explains a difference by.
    report["machine"] = this_machine().described()
    report["inputs"] = {**inputs_of(declared), **{f"tool {name}": found for name, found in result.tools.items()}}
    _show(report, output)
    return 0 if report["identical"] else 1


def _surroundings(folder: Path, release: Release) -> Surroundings:
    from muster.build.declarations import read_device_classes, read_release
    from muster.build.report import Surroundings

    superseded = None
    path = f"releases/{release.model}/{release.spec.supersedes}.yaml"
    if release.spec.supersedes and (folder / path).is_file():
        older = read_release(folder, path)
        superseded = (older.name, older.spec.artifact)
    return Surroundings(read_device_classes(folder), superseded)


def _show(report: dict[str, Any], output: str) -> None:
    from muster.build.report_text import report_markdown, report_text

    if output == "markdown":
        click.echo(report_markdown(report))
    else:
        emit(report, output, lambda: click.echo(report_text(report)))

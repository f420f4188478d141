"""`muster check`: name every complaint about a fleet, or judge a change of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.output import emit
from muster.kinds.errors import Unusable

_FORMS = ("text", "json", "yaml", "markdown", "github", "sarif", "junit")


@click.command()
@click.argument("path", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option("--base", help="Judge a change: the revision it would be merged into.")
@click.option("--head", default="HEAD", show_default=True, help="The revision that would be merged, with --base.")
@click.option("--revision", default="HEAD", show_default=True, help="The commit to check, without --base.")
@click.option("--work-tree", is_flag=True, help="Check the files as they stand, committed or not.")
@click.option("--each", metavar="SINCE", help="Judge every commit of the branch after SINCE against the one before it.")
@click.option("--fleet", metavar="URL", help="Ask this controller for devices, guardrails and soak.")
@click.option(
    "--state",
    type=click.Path(file_okay=False),
    default=".muster",
    envvar="MUSTER_STATE",
    help="With --fleet: where its operator token stands, unless MUSTER_OPERATOR_TOKEN holds it.",
)
@click.option("--github", is_flag=True, help="Read the pull request from GitHub's environment, and answer there.")
@click.option("--approvals", type=click.Choice(["git"]), help="Without a forge: signed approvals in git notes.")
@click.option("--at", metavar="TIME", help="Judge as of this UTC time (2026-03-01T09:00:00Z) instead of now.")
@click.option("-o", "--output", type=click.Choice(_FORMS), default="text", show_default=True)
def check(path: Path, output: str, **options: Any) -> int:
    """Name every complaint about the fleet of the repository at PATH, or judge a change of it.

    Without --base: load one commit (or the work tree). With --base: judge what merging --head would do, by the policies
    of --base.

    Exit code: 0 passes, 1 blocked, 2 could not be judged.
    """
    from muster.cli import check_change, check_fleet

    asked = [name for name in ("base", "each", "github", "work_tree") if options[name]]
    if len(asked) > 1:
        names = " and ".join("--" + name.replace("_", "-") for name in asked)
        raise Unusable(f"{names} ask different questions", "give one of them")
    if options["base"] or options["github"]:
        return check_change.check_request(path, output, options)
    if options["each"]:
        return check_change.check_each(path, output, options)
    if output not in ("text", "json", "yaml"):
        raise Unusable(f"-o {output} reports on a change", "give --base REV as well")
    report, text = check_fleet.check_fleet(path, options["revision"], work_tree=options["work_tree"])
    emit(report, output, text)
    return 0 if report["ok"] else 1

"""`muster rollback`: make the revert commit that takes a release back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.branches import branch_option, target_of
from muster.cli.output import emit, output_option
from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from muster.source.rollback import Rollback


@click.command()
@click.argument("model", metavar="MODEL[/VERSION]")
@click.option("--release", "version", help="Take back this version. Default: the newest that reaches any device.")
@click.option("--to", help="Take back every version newer than this one.")
@click.option("--repository", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default=True)
@click.option("--why", default="", help="The reason, for the commit message.")
@branch_option
@click.option("--dry-run", is_flag=True, help="Show the commit; move no branch.")
@output_option
def rollback(  # noqa: PLR0913, PLR0917 - one argument per option
    model: str,
    version: str | None,
    to: str | None,
    repository: Path,
    why: str,
    branch: str | None,
    dry_run: bool,
    output: str,
) -> None:
    """Commit, on the current branch, the revert that takes a release of MODEL back from every device.

    Refused if the result would not pass `muster check`. The work tree moves along; changes in it are never lost. With
    --branch the commit goes onto a new branch, for a pull request.
    """
    from muster.source.git import Repository
    from muster.source.identity import author
    from muster.source.rollback import plan_rollback

    model, _, named = model.partition("/")
    if named and version:
        raise Unusable(f"{model}/{named} and --release {version} name two releases", "name one of them")
    version = named or version
    if version and to:
        raise Unusable("--release and --to exclude each other", "name one of them")
    source = Repository(repository)
    target = target_of(source, branch)
    who = author(source, "muster rollback <muster@localhost>")
    planned = plan_rollback(
        source, target.head, model, version=version, to=to, why=why, author=who, at=datetime.now(UTC)
    )
    if not dry_run:
        target.move(source, planned.commit)
    emit(_report(planned, target.name, dry_run), output, lambda: _text(planned, target.name, dry_run))


def _report(planned: Rollback, branch: str, dry_run: bool) -> dict[str, Any]:
    return {
        "commit": None if dry_run else planned.commit,
        "branch": branch,
        "takenBack": list(planned.releases),
        "reverts": [commit.commit for commit in planned.reverted],
        "files": sorted(planned.changes),
        "message": planned.message,
        "returnTo": [
            {"deviceClass": device_class, "cohort": cohort, "releases": list(releases)}
            for device_class, cohort, releases in planned.return_to
        ],
    }


def _text(planned: Rollback, branch: str, dry_run: bool) -> None:
    if dry_run:
        click.echo(f"would commit on {branch}:")
        click.echo("".join(f"    {line}\n" for line in planned.message.splitlines()), nl=False)
    else:
        click.echo(f"committed {planned.commit[:12]} on {branch}: {planned.message.splitlines()[0]}")
    for path in sorted(planned.changes):
        click.echo(f"  {'deletes' if planned.changes[path] is None else 'restores'} {path}")
    click.echo(f"taken back: {', '.join(planned.releases)}; devices return to")
    for device_class, cohort, releases in planned.return_to:
        click.echo(f"  {device_class} / {cohort}: {', '.join(releases) or 'nothing'}")
    if not dry_run:
        click.echo("next: git push, and the controller publishes it")

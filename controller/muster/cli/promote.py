"""`muster promote`: take the next step of a release, if the gate would let it pass."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.branches import branch_option, target_of
from muster.cli.output import emit, output_option, state_option
from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from muster.check.verdict import Verdict
    from muster.review.promotion import Promotion


@click.command()
@click.argument("release", metavar="MODEL/VERSION")
@click.option("--to", help='How far, such as "25%". Default: the next step of the release\'s tier.')
@click.option("--cohort", help="Where. Default: the first cohort, in their order, that has not all of it.")
@click.option("--why", required=True, help="The reason, for the commit message.")
@click.option("--fleet", help="The running controller, to be asked how the release does in the field.")
@click.option("--repository", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default=True)
@branch_option
@click.option("--dry-run", is_flag=True, help="Judge and show the commit; move no branch.")
@state_option
@output_option
def promote(release: str, output: str, **options: Any) -> int:
    """Commit the next step of MODEL/VERSION on the current branch. Refused, with every reason, if `check` would refuse.

    With --branch the commit goes onto a new branch, for a pull request: what only people can say is left to them.
    """
    from muster.cli.check_change import controller_state
    from muster.review.promotion import Asked, plan_promotion
    from muster.source.git import Repository
    from muster.source.identity import author
    from muster.source.load import Loader

    source = Repository(options["repository"])
    target = target_of(source, options["branch"])
    asked = Asked(
        release=release,
        why=options["why"],
        author=author(source, "muster promote <muster@localhost>"),
        at=datetime.now(UTC),
        to=_ppm(options["to"]),
        cohort=options["cohort"],
    )
    planned = plan_promotion(source, target.head, asked, controller_state(options), Loader())
    refused = planned.refused_by(people_follow=target.is_new)
    if not refused and not options["dry_run"]:
        target.move(source, planned.commit)
    report = _report(planned, refused, target.name, options["dry_run"])
    emit(report, output, lambda: _text(planned, refused, report))
    if refused and output == "text":
        _complain(refused)
    return 1 if refused else 0


def _ppm(text: str | None) -> int | None:
    from muster.kinds.quantity import parse_percent

    if text is None:
        return None
    try:
        return parse_percent(text)
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        raise Unusable(f"--to: {message}", hint or 'write --to "25%"') from error


def _report(planned: Promotion, refused: tuple[Verdict, ...], branch: str, dry_run: bool) -> dict[str, Any]:
    from muster.kinds.quantity import format_percent

    return {
        "commit": planned.commit if not refused and not dry_run else None,
        "branch": branch,
        "release": planned.release,
        "cohort": planned.cohort,
        "before": format_percent(planned.before),
        "after": format_percent(planned.after),
        "message": planned.message,
        "refused": [
            {"rule": verdict.rule, "outcome": verdict.outcome, "message": verdict.message, "hint": verdict.hint}
            for verdict in refused
        ],
    }


def _text(planned: Promotion, refused: tuple[Verdict, ...], report: dict[str, Any]) -> None:
    moved = f"{planned.release}: {report['cohort']} {report['before']} → {report['after']}"
    if refused:
        click.echo(f"not promoted: {moved}")
    elif report["commit"] is None:
        click.echo(f"would commit on {report['branch']}: {moved}")
    else:
        click.echo(f"committed {planned.commit[:12]} on {report['branch']}: {moved}")
        click.echo(f"next: git push origin {report['branch']}")


def _complain(refused: tuple[Verdict, ...]) -> None:
    from muster.source.git_program import printable

    for verdict in refused:
        click.echo(f"error: {verdict.rule}: {printable(verdict.message)}", err=True)
        if verdict.hint:
            click.echo(f"  hint: {printable(verdict.hint)}", err=True)
    if any(verdict.section == "approval" for verdict in refused):
        click.echo("  hint: to have it approved in a pull request: --branch NAME", err=True)

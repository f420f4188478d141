"""`muster history --at`: which digest was desired, who approved it, on what evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.ledger import read_ledger
from muster.cli.moments import moment
from muster.cli.output import emit
from muster.kinds.errors import Unusable


def show_desired(model: str, output: str, options: dict[str, Any]) -> int:
    """Answer for the time and the cohort of the options."""
    from datetime import UTC, datetime

    from muster.review.desired_at import Question, desired_at
    from muster.review.ledger import believed
    from muster.source.git import Repository

    if not (options["at"] and options["cohort"]):
        raise Unusable("--at and --cohort go together", "muster history MODEL --at 2026-01-31T12:00:00Z --cohort NAME")
    asked = Question(model, options["cohort"], moment(options["at"], "--at", datetime.now(UTC)))
    told = desired_at(Repository(Path(options["repository"])), believed(read_ledger(options)), asked)
    if options["source"] == "state":
        # It knows what was not checkpointed as well.
        told["knownUntil"] = None
    emit(told, output, lambda: _print(told))
    return 0


def _print(told: dict[str, Any]) -> None:
    from muster.source.git_program import printable

    click.echo(f"{told['model']} on {told['cohort']} at {told['at']}: generation {told['generation']}")
    click.echo(f"  published {told['publishedAt']} from commit {told['commit'][:12]}, event {told['event']}")
    if told["knownUntil"] and told["knownUntil"] < told["at"]:
        click.echo(f"  nothing later than the checkpoint of {told['knownUntil']} is known here")
    for row in told["desired"]:
        click.echo(f"  {row['deviceClass']}:" + ("" if row["releases"] else " nothing"))
        for offer in row["releases"]:
            click.echo(f"    {offer['release']} {offer['artifact']} for {offer['share']}")
    for one in told["suspended"]:
        click.echo(f"  suspended: {one['release']} since {one['since']}: {printable(one['reason'])[:300]}")
    for release in told["releases"]:
        _print_release(release, told["commit"])


def _print_release(release: dict[str, Any], published: str) -> None:
    from muster.source.git_program import printable

    click.echo(f"  {release['release']}:")
    if release["commits"] is None:
        click.echo(f"    commit {published[:12]} is not in this clone, or does not load")
    for commit in release["commits"] or ():
        click.echo(f"    commit:   {commit['commit'][:12]} {commit['at']} {printable(commit['author'])}")
    for given in release["approvals"]:
        click.echo(f"    approved: {printable(given['by'])} ({given['of']}) at {given['at']}, told by {given['from']}")
    if not release["approvals"]:
        click.echo("    approved: nobody signed an approval")
    for item in release["evidence"] or ():
        said = item["problem"] or f"{item['type']}, signed by {item['signer']}"
        click.echo(f"    evidence: {printable(item['file'])}: {printable(said)}")
    if not release["evidence"]:
        click.echo("    evidence: none")

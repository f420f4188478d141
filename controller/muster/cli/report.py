"""`muster report`: how well the fleet delivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.ledger import read_ledger, where_option
from muster.cli.moments import moment
from muster.cli.output import emit, output_option, table
from muster.kinds.errors import Unusable


@click.group()
def report() -> None:
    """Reports from git and the ledger."""


@report.command()
@click.option("--since", default="90d", show_default=True, help="A time, or how long ago.")
@click.option("--until", default="now", show_default=True, help="A time, or how long ago.")
@where_option("clone")
@output_option
def delivery(output: str, since: str, until: str, **options: Any) -> int:
    """Deployment frequency, lead time, change failure rate, time to recovery, pipeline reliability.

    Each beside the target of the field. The window begins with the ledger, if that is later than --since. Exit 1: a
    target was missed. Exit 0: none was; a measure without a case has no value.
    """
    from datetime import UTC, datetime

    from muster.review.delivery.measures import Window
    from muster.review.delivery.report import delivery as measured
    from muster.review.ledger import believed
    from muster.source.git import Repository

    now = datetime.now(UTC)
    found = believed(read_ledger(options))
    begin, end = moment(since, "--since", now), moment(until, "--until", now)
    if found.rows:
        begin = max(begin, datetime.fromisoformat(found.rows[0].at))
    if begin >= end:
        raise Unusable("the window is empty", "choose --since before --until, and --until after the ledger began")
    told = measured(Repository(Path(options["repository"])), found, Window(begin, end))
    emit(told, output, lambda: _print(told))
    return 1 if any(measure["met"] is False for measure in told["measures"]) else 0


def _print(told: dict[str, Any]) -> None:
    words = {True: "met", False: "missed", None: "no case"}
    rows = [
        [
            measure["name"],
            "-" if measure["value"] is None else f"{measure['value']:g} {measure['unit']}",
            measure["target"],
            words[measure["met"]],
            measure["cases"],
        ]
        for measure in told["measures"]
    ]
    click.echo(f"from {told['since']} until {told['until']}")
    table(["measure", "value", "target", "", "cases"], rows)

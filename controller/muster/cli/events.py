"""`muster events`: what happened, as it is in the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.ledger import read_ledger, where_option
from muster.cli.moments import moment
from muster.cli.output import emit, output_option, server_option, table
from muster.kinds.errors import MusterError, TryAgain, Unusable
from muster.kinds.event_kind import ABOUT, REASONS
from muster.kinds.quantity import parse_duration

if TYPE_CHECKING:
    from muster.review.events import Filter
    from muster.serve.client import ControllerClient


@click.command()
@click.option("--reason", "reasons", multiple=True, metavar="REASON", help="Only these, such as ReleaseSuspended.")
@click.option("--about", multiple=True, type=click.Choice(ABOUT), help="Only what is about this.")
@click.option("--of", metavar="MODEL|RELEASE", help="Only what concerns this model, or this release.")
@click.option("--since", default="365d", show_default=True, help="A time, or how long ago.")
@click.option("--until", default="now", show_default=True, help="A time, or how long ago.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="The newest so many.")
@click.option("--watch", is_flag=True, help="Then go on with what happens, until --timeout or --limit events.")
@click.option("--timeout", default="10m", show_default=True, help="How long to watch.")
@click.option("--every", default="2s", show_default=True, help="Time between two questions while watching.")
@server_option
@where_option("server")
@output_option
def events(output: str, **options: Any) -> int:
    """Show events, oldest first: from the running controller, its state folder, or what a clone holds.

    With --watch, each event is one line (with -o json, one object a line). From a state folder or a clone, the ledger
    is verified first.
    """
    chosen = _filter(options)
    if options["watch"]:
        if options["source"] != "server" or output == "yaml":
            raise Unusable("only a running controller can be watched, as text or JSON", "leave --from and -o yaml out")
        return _watch(chosen, options, output)
    if options["source"] == "server":
        rows = _asked(_client(options), 0)
    else:
        from muster.review.events import shown
        from muster.review.ledger import believed

        rows = iter([shown(row.model_dump()) for row in believed(read_ledger(options)).rows])
    found = [event for event in rows if chosen.takes(event)][-options["limit"] :]
    columns = ["at", "reason", "what"]
    emit(found, output, lambda: table(columns, [[one["at"], one["reason"], one["summary"]] for one in found]))
    return 0


def _filter(options: dict[str, Any]) -> Filter:
    from datetime import UTC, datetime

    from muster.review.events import Filter

    unknown = [reason for reason in options["reasons"] if reason not in REASONS]
    if unknown:
        raise Unusable(f"--reason: there is no {unknown[0][:100]!r}", f"there are: {', '.join(sorted(REASONS))}")
    now = datetime.now(UTC)
    until = None if options["until"] == "now" else moment(options["until"], "--until", now)
    since = moment(options["since"], "--since", now)
    return Filter(options["reasons"], options["about"], options["of"], since, until)


def _client(options: dict[str, Any]) -> ControllerClient:
    from muster.serve.client import ControllerClient

    return ControllerClient(options["server"], Path(options["state"]))


def _asked(client: ControllerClient, after: int) -> Iterator[dict[str, Any]]:
    """Events after a sequence number, as the controller tells them."""
    from muster.review.events import shown

    return (shown(row) for row in client.pages_after("/v1/ledger", after, limit=1_000))


def _watch(chosen: Filter, options: dict[str, Any], output: str) -> int:
    """Until the timeout, or as many events as --limit. Exit 0: it ended as asked; 2: the controller went away."""
    import time

    client = _client(options)
    deadline = time.monotonic() + _seconds(options["timeout"])
    pause, left, after, away = max(_seconds(options["every"]), 0.05), options["limit"], 0, None
    while left:
        try:
            for event in _asked(client, after):
                after = event["sequence"]
                if left and chosen.takes(event):
                    left -= 1
                    _say(event, output)
            away = None
        except TryAgain as error:
            away = error
        if time.monotonic() >= deadline:
            break
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
    if away is not None:
        raise MusterError(away.message, away.hint)
    return 0


def _say(event: dict[str, Any], output: str) -> None:
    click.echo(json.dumps(event) if output == "json" else f"{event['at']}\t{event['reason']}\t{event['summary']}")


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / 1_000_000
    except ValueError as error:
        raise Unusable(str(error)) from error

"""`muster alerts`: what people were told, what did not reach them, and sending it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, output_option, state_option, table
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from sqlalchemy import Engine


@click.group()
def alerts() -> None:
    """Show what people were told, and what did not reach them; send it again."""


@alerts.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True)
@state_option
@output_option
def list_alerts(limit: int, state: str, output: str) -> int:
    """List alerts, newest first, and how far each came."""
    return _show(state, output, limit, None)


@alerts.command()
@click.option("--limit", type=click.IntRange(1, 1_000), default=1_000, show_default=True)
@state_option
@output_option
def dead(limit: int, state: str, output: str) -> int:
    """List dead letters: alerts that a channel did not take for a day, or refused. Exit 1 if there are any."""
    return _show(state, output, limit, "dead")


@alerts.command("send-again")
@click.argument("key", required=False)
@click.option("--channel", help="Only to this channel.")
@click.option("--all", "everything", is_flag=True, help="Every dead letter.")
@state_option
def send_again(key: str | None, channel: str | None, everything: bool, state: str) -> int:
    """Put the dead letters of KEY back on their way. The controller delivers them."""
    from datetime import UTC, datetime

    from muster.apply.alerts import outbox
    from muster.observe.storage import writing

    if everything == (key is not None):
        raise Unusable("name a key or --all", "see muster alerts dead")
    now = datetime.now(UTC)
    with _storage(state) as engine, writing(engine) as connection:
        keys = outbox.dead_keys(connection) if key is None else [key]
        count = sum(outbox.send_again(connection, one, channel, now) for one in keys)
    return _changed(count, "on their way again")


@alerts.command()
@click.argument("key")
@click.option("--channel", help="Only that to this channel.")
@state_option
def dismiss(key: str, channel: str | None, state: str) -> int:
    """Take the dead letters of KEY off the list: nobody needs to be told any more."""
    from muster.apply.alerts import outbox
    from muster.observe.storage import writing

    with _storage(state) as engine, writing(engine) as connection:
        count = outbox.dismiss(connection, key, channel)
    return _changed(count, "dismissed")


@alerts.command("try")
@click.argument("channel")
@click.option("--repository", type=click.Path(file_okay=False), default=".", show_default=True)
@click.option("--revision", default="HEAD", show_default=True)
@click.option("--alert-network", "networks", multiple=True, metavar="NETWORK", help="As given to muster run.")
@state_option
def try_channel(channel: str, repository: str, revision: str, networks: tuple[str, ...], state: str) -> int:
    """Send one alert to CHANNEL, as REVISION declares it, and say what came of it."""
    import asyncio
    from datetime import UTC, datetime

    from muster.apply.alerts.courier import Courier, Surroundings
    from muster.apply.alerts.destination import networks as parsed
    from muster.apply.alerts.making import of_trial
    from muster.apply.alerts.sending import NotTaken
    from muster.attest.keys import public_half
    from muster.attest.state_keys import StateKeys
    from muster.source.git import Repository
    from muster.source.load import Loader

    source = Repository(Path(repository))
    commit = source.resolve(revision)
    fleet = Loader().commit(source, commit).fleet_or_refuse(revision)
    declared = next((one for one in fleet.channels if one.metadata.name == channel), None)
    if declared is None:
        named = ", ".join(one.metadata.name for one in fleet.channels) or "none"
        raise Unusable(f"no such channel is declared: {channel}", f"declared: {named}")
    signer = public_half(StateKeys.of(Path(state)).signing_key())
    now = datetime.now(UTC)
    with _storage(state) as engine:
        courier = Courier(engine, Surroundings.of(parsed(networks), Path(state), signer))
        outcome = asyncio.run(courier.send(of_trial(commit, channel, now), declared, now))
    if isinstance(outcome, NotTaken):
        raise Refused(f"{channel} did not take it: {outcome.why}", "correct the channel, its secret, or its place")
    click.echo(f"{channel} took it")
    return 0


def _show(state: str, output: str, limit: int, only: str | None) -> int:
    from muster.apply.alerts import outbox

    with _storage(state) as engine, engine.connect() as connection:
        rows = outbox.listed(connection, limit, only)
    emit(
        rows,
        output,
        lambda: table(
            ["at", "reason", "severity", "summary", "deliveries", "key"],
            [[row["at"], _reason(row), row["severity"], row["summary"], _deliveries(row), row["key"]] for row in rows],
        ),
    )
    return 1 if only and rows else 0


def _reason(row: dict[str, Any]) -> str:
    return f"{row['reason']} (over)" if row["state"] == "resolved" else str(row["reason"])


def _deliveries(row: dict[str, Any]) -> str:
    return (
        "; ".join(
            f"{one['channel']} {one['state']}" + (f" ({one['lastError']})" if one["lastError"] else "")
            for one in row["deliveries"]
        )
        or "no channel is told"
    )


def _changed(count: int, what: str) -> int:
    if not count:
        raise Refused("there is no such dead letter", "see muster alerts dead")
    click.echo(f"{count} {what}")
    return 0


@contextmanager
def _storage(state: str) -> Iterator[Engine]:
    if not (Path(state) / "muster.db").is_file():
        raise Unusable(f"{state} is no state folder of a controller", "name it with --state")
    from muster.observe.storage import open_storage

    engine = open_storage(Path(state))
    try:
        yield engine
    finally:
        engine.dispose()

"""`muster suspend` and `muster resume`: the brake, by hand."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muster.cli.output import emit, output_option, server_option, state_option
from muster.kinds.errors import MusterError, TryAgain, Unusable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from muster.plan.world import Suspension

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _by_hand(command: _Command) -> _Command:
    for option in (
        output_option,
        state_option,
        server_option,
        click.option(
            "--offline",
            is_flag=True,
            help="Write into the state folder: no controller answers. It acts on it at a tick.",
        ),
        click.option("--by", help='Who asks, "Name <address>"; by default whose git this is.'),
        click.option("--why", required=True, help="The reason, for everybody to read."),
        click.argument("release", metavar="MODEL/VERSION"),
    ):
        command = option(command)
    return command


@click.command()
@_by_hand
@click.option(
    "--until", help="When it ends by itself: a time (2026-03-01T09:00:00Z) or a duration (2h). Default: never."
)
def suspend(release: str, why: str, until: str | None, output: str, **options: Any) -> None:
    """Stop offering a release at once: devices that have it return to the one they confirmed before.

    With --until git stays as it is, and the release is offered anew when the time has come. Without it the controller
    also commits the revert, as after a guardrail's verdict.
    """
    now = datetime.now(UTC)
    end = _moment(until, now) if until else None
    asked = {"release": release, "why": why, "by": who_asks(options["by"]), "until": end.isoformat() if end else None}
    said = _ask("/v1/suspend", asked, options)
    emit(said, output, lambda: _print_suspended(said))


@click.command()
@_by_hand
@click.option("--over-guardrail", is_flag=True, help="Also if it was a guardrail that suspended the release.")
def resume(release: str, why: str, over_guardrail: bool, output: str, **options: Any) -> None:
    """Offer a suspended release again, under a new generation: it is judged by what devices show from there on."""
    asked = {"release": release, "why": why, "by": who_asks(options["by"]), "overGuardrail": over_guardrail}
    said = _ask("/v1/resume", asked, options)
    emit(said, output, lambda: _print_resumed(said))


def _ask(path: str, asked: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    state = Path(options["state"])
    if options["offline"]:
        return _write(path, asked, state)
    from muster.serve.client import ControllerClient

    try:
        said: dict[str, Any] = ControllerClient(options["server"], state).post(path, asked)
    except TryAgain as error:
        hint = "to write it into the controller's state folder instead: --offline"
        raise TryAgain(error.message, hint) from error
    return said


def _write(path: str, asked: dict[str, Any], state: Path) -> dict[str, Any]:
    """What the route would do, in the state folder itself: the storage serves several processes."""
    from pydantic import ValidationError

    from muster.apply.by_hand import resume_by_hand, suspend_by_hand
    from muster.apply.publish import Publisher
    from muster.apply.tuf_keys import TufKeys
    from muster.observe.storage import open_storage, writing
    from muster.plan.describe import as_json
    from muster.serve.by_hand_routes import AskedToResume, AskedToSuspend

    if not (state / "muster.db").is_file():
        raise Unusable(f"{state} is not the state folder of a controller that ran", "name it with --state")
    published = Publisher(state / "public", TufKeys()).published()

    def work(connection: Connection, now: datetime) -> Suspension:
        if path == "/v1/suspend":
            body = AskedToSuspend.model_validate(asked)
            return suspend_by_hand(connection, body.asked, body.until, published, now)
        again = AskedToResume.model_validate(asked)
        return resume_by_hand(connection, again.asked, published, now, over_guardrail=again.over_guardrail)

    engine = open_storage(state)
    try:
        with writing(engine) as connection:
            said: dict[str, Any] = as_json(work(connection, datetime.now(UTC)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Unusable(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}", "see --help") from error
    finally:
        engine.dispose()
    return said


def who_asks(text: str | None) -> str:
    """`text`, or whose git this is, or the user of this machine: "Name <address>"."""
    if text is not None:
        return text
    machine = f"{_user()} <{_user()}@{socket.gethostname() or 'localhost'}>"
    from muster.source.git import Repository
    from muster.source.identity import author

    try:
        return author(Repository(Path.cwd()), machine)
    except MusterError:
        return machine


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "operator"


def _moment(text: str, now: datetime) -> datetime:
    from muster.kinds.quantity import parse_duration

    try:
        return now + timedelta(microseconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unusable(
            f"--until: neither a time nor a duration: {text!r}", "write 2h or 2026-03-01T09:00:00Z"
        ) from error
    if found.tzinfo is None:
        raise Unusable(f"--until: {text!r} names no zone", "write 2026-03-01T09:00:00Z")
    return found


def _print_suspended(said: dict[str, Any]) -> None:
    until = f"until {said['until']}" if said["until"] else "for good; its revert is committed next"
    click.echo(f"suspended {said['release']} {until}, by {said['by']}: {said['reason']}")
    click.echo("next: muster get status shows it; devices leave the release when they next ask")


def _print_resumed(said: dict[str, Any]) -> None:
    click.echo(f"resumed {said['release']}, which was suspended by {said['by']}: {said['reason']}")
    if said["revert"]:
        click.echo(
            f"if git holds its revert {said['revert'][:12]} already, it stays taken back: git revert that commit"
        )

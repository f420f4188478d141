"""`muster rehearse`: the way back, tried before it is needed, with evidence that gates can ask for."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.by_hand import who_asks
from muster.cli.evidence_work import Work
from muster.cli.keyless import signer_options
from muster.cli.output import emit, output_option, server_option, state_option
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.kinds.fleet import Fleet
    from muster.kinds.release import Release

_EVERY_SECONDS = 1.0


def _signed(command: Any) -> Any:
    for option in signer_options:
        command = option(command)
    return command


@click.command()
@click.argument("model")
@click.option("--cohort", help="Rehearse on the real devices of this cohort, through the running controller.")
@click.option("--timeout", default="10m", show_default=True, help="With --cohort: how long each step may take.")
@click.option("--valid-for", default="30d", show_default=True, help="When the evidence expires.")
@click.option("--by", help='Who rehearses, "Name <address>"; by default whose git this is.')
@click.option("--name", default="rehearsal", show_default=True, help="Name of the evidence file.")
@_signed
@server_option
@state_option
@output_option
def rehearse(model: str, cohort: str | None, output: str, **given: Any) -> int:
    """Take the last two production releases of MODEL through promote, halt and revert, and sign how it came out.

    Without --cohort on simulated devices, with the real planner. With --cohort on real ones: the newer release must be
    on offer to that cohort and to no other; it is suspended for good, and the controller commits its revert. Exits 0 if
    every device came back, 1 if not.
    """
    from muster.kinds.evidence import REHEARSAL, Rehearsal
    from muster.kinds.moment import utc_text
    from muster.source.load import Loader

    fleet = Loader().work_tree(Path.cwd()).fleet_or_refuse(str(Path.cwd()))
    newer, older = last_two(fleet, model)
    expires = datetime.now(UTC) + _duration("--valid-for", given["valid_for"])
    work = Work.of({**given, "release": newer.name})
    lines: list[str] = []
    returned = (
        _in_cohort(fleet, cohort, (newer, older), lines, given) if cohort else _simulated(fleet, newer, older, lines)
    )
    now = datetime.now(UTC)
    predicate = Rehearsal(
        release=newer.name,
        back_to=older.name,
        rehearsed_at=utc_text(now),
        where="staging" if cohort else "simulator",
        returned=returned,
        expires_at=utc_text(expires),
    ).model_dump(mode="json")
    path = work.write(given["name"], REHEARSAL, predicate, also=older)

    def text() -> None:
        click.echo("\n".join(lines))
        click.echo(f"{'every device is back' if returned else 'not every device came back'}; wrote {path}")

    emit({"file": str(path), "predicate": predicate, "transcript": lines}, output, text)
    return 0 if returned else 1


def last_two(fleet: Fleet, model: str) -> tuple[Release, Release]:
    """The two newest releases of a model from `production` on, the newer one first. Raises `Refused`."""
    found = [release for release in fleet.releases_of(model) if release.spec.tier in ("production", "regulated")]
    if len(found) < 2:
        known = ", ".join(release.name for release in found) or "none"
        raise Refused(
            f"{model} has not two releases from production on, but {known}", "there is no way back to rehearse"
        )
    return found[0], found[1]


def _simulated(fleet: Fleet, newer: Release, older: Release, lines: list[str]) -> bool:
    from muster.simulate.rehearsal import rehearse as simulated

    rehearsed = simulated(fleet, newer.name, older.name, datetime.now(UTC))
    lines += rehearsed.transcript
    return rehearsed.returned


def _in_cohort(
    fleet: Fleet, cohort: str, releases: tuple[Release, Release], lines: list[str], given: dict[str, Any]
) -> bool:
    from muster.serve.client import ControllerClient
    from muster.serve.cohort_rehearsal import CohortRehearsal, Surroundings, refuse_others

    def say(line: str) -> None:
        at = datetime.now(UTC)
        lines.append(f"{at:%H:%M:%S} {line}")
        click.echo(lines[-1], err=True)

    newer, older = releases
    refuse_others(fleet, newer, cohort)
    patience = _duration("--timeout", given["timeout"])
    surroundings = Surroundings(lambda: datetime.now(UTC), lambda: time.sleep(_EVERY_SECONDS), patience)
    client = ControllerClient(given["server"], Path(given["state"]))
    return CohortRehearsal(client, surroundings, cohort, newer, older, who_asks(given["by"]), say).play()


def _duration(option: str, text: str) -> timedelta:
    from muster.kinds.quantity import parse_duration

    try:
        return timedelta(microseconds=parse_duration(text))
    except (ValueError, OverflowError) as error:
        raise Unusable(f"{option}: {error}", "write 10m or 30d") from error

"""What waits for a maintenance window and a turn, and on whose clock.

Only a switch to a trial waits. What goes back, what leaves a halted release, and a device that runs nothing never do;
neither does fetching.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from muster.agent.decide import Return, Stage
from muster.agent.journal import ModelState
from muster.kinds.errors import Unusable


class SystemTime(tzinfo):
    """The zone that the system is set to, by the rules that its C library knows."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """What the system says."""
        return moment.replace(tzinfo=None).astimezone().utcoffset() if moment else None

    def dst(self, _moment: datetime | None, /) -> timedelta | None:
        """Not known apart from the offset."""
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        """What the system says."""
        return moment.replace(tzinfo=None).astimezone().tzname() if moment else None

    def fromutc(self, moment: datetime) -> datetime:
        """From UTC to the wall clock; an hour that comes twice is told apart."""
        local = moment.replace(tzinfo=UTC).astimezone()
        wall = local.replace(tzinfo=None)
        return wall.replace(tzinfo=self, fold=int(wall.astimezone().utcoffset() != local.utcoffset()))


def zone_of(name: str | None) -> tzinfo:
    """The zone of an IANA name, or the system's. Raises `Unusable`."""
    if name is None:
        return SystemTime()
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        hint = "write an IANA name, such as Europe/Berlin; the system's tzdata must know it"
        raise Unusable(f"this system knows no time zone {name!r}", hint) from error


def may_wait(state: ModelState, step: Return | Stage) -> bool:
    """True if the step puts something on trial that nothing urges on."""
    return state.running is not None and not step.recalled and not (isinstance(step, Return) and step.proven)

"""What is wrong with freezes by themselves, as they are declared. What they hold up is judged in `freezes`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Final

from muster.kinds.finding import Complaint, Pointer
from muster.kinds.freeze import Freeze
from muster.kinds.quantity import format_duration
from muster.plan.schedules import LONGEST, check_schedule, start_of, zone_of

MOST: Final = 100
"""Freezes of one fleet: each of them is looked into for every change."""


def freeze_complaints(
    freezes: Mapping[str, Freeze], cohorts: Collection[str], models: Collection[str] | None
) -> Iterator[Complaint]:
    """Complaints about the freezes (by path) of a fleet with these cohorts and models; None: models are not known."""
    for path, freeze in islice(freezes.items(), MOST):
        yield from _complaints(path, freeze)
        for field, named, known in (("cohorts", freeze.spec.cohorts, cohorts), ("models", freeze.spec.models, models)):
            for index, name in enumerate(named):
                if known is not None and name not in known:
                    yield Complaint(
                        Pointer(path, ("spec", field, index)),
                        "dangling",
                        f"the freeze names {name}, which is not declared",
                        f"declared {field}: {', '.join(sorted(known)[:20]) or 'none'}",
                    )
    for path in islice(freezes, MOST, MOST + 1):
        yield Complaint(
            Pointer(path), "freeze", f"the fleet declares more than {MOST} freezes", "merge some, or take old ones out"
        )


def _complaints(path: str, freeze: Freeze) -> Iterator[Complaint]:
    spec, hint = freeze.spec, 'write cron: "0 18 * * FRI", or rrule: "FREQ=WEEKLY;BYDAY=FR" with its start'
    if (spec.cron is None) == (spec.rrule is None):
        both = "both a cron and an rrule" if spec.cron else "neither a cron nor an rrule"
        yield _complaint(path, "effect", f"the freeze has {both}", hint)
    elif spec.rrule is not None and spec.start is None:
        yield _complaint(path, "rrule", "the rrule does not say from when it counts", 'write start: "2026-12-18T18:00"')
    elif spec.cron is not None and spec.start is not None:
        yield _complaint(path, "start", "a cron has no start", "take start out, or write an rrule")
    else:
        yield from _schedule_complaints(path, freeze, hint)
    longest = LONGEST.days * 86_400_000_000
    if not 0 < spec.duration <= longest:
        said = format_duration(spec.duration)
        yield _complaint(
            path, "duration", f"the windows last {said}", f"write more than 0s and at most {LONGEST.days}d"
        )


def _schedule_complaints(path: str, freeze: Freeze, hint: str) -> Iterator[Complaint]:
    spec = freeze.spec
    try:
        zone_of(spec.time_zone)
    except ValueError as error:
        yield _complaint(path, "timeZone", str(error), "write a name of the IANA data base, such as Europe/Berlin")
        return
    try:
        if spec.rrule is not None:
            start_of(spec)
    except ValueError as error:
        yield _complaint(path, "start", str(error), 'write a local time, such as "2026-12-18T18:00"')
        return
    try:
        check_schedule(spec)
    except ValueError as error:
        yield _complaint(path, "cron" if spec.cron is not None else "rrule", str(error), hint)


def _complaint(path: str, field: str, message: str, hint: str) -> Complaint:
    return Complaint(Pointer(path, ("spec", field)), "freeze", message, hint)

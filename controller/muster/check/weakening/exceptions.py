"""Freezes and waivers: whether something may move forward that might not before, or a gate be passed over longer.

What a schedule means is not compared: any other cron, rule, start or time zone counts as weaker.
"""

from __future__ import annotations

from collections.abc import Iterator

from muster.check.change import path_of
from muster.check.weakening.looser import GONE, Looser, Weakening, listed, located, unmatched
from muster.check.weakening.people import said
from muster.kinds.finding import Pointer
from muster.kinds.fleet import Fleet
from muster.kinds.freeze import Freeze
from muster.kinds.quantity import format_duration
from muster.kinds.waiver import Waiver

_OTHER_TIMES = "other times, which count as weaker"


def weakened_freezes(base: Fleet, head: Fleet, author: str | None) -> Iterator[Weakening]:
    """Every freeze of the base that is gone or holds less, and allowed windows that might add to those of the base."""

    def looser(old: Freeze, new: Freeze) -> tuple[Looser, ...]:
        return tuple(_looser_freeze(old, new, author))

    for found in unmatched(base.freezes, head.freezes, looser, lambda freeze: freeze.metadata.name):
        old = base.freezes[found.before]
        about = f"freeze {old.metadata.name}"
        for lost in found.looser:
            yield located(lost, about, Pointer(path_of(old), ("spec",)))
        if found.after is None:
            before = f"{old.spec.effect} for {format_duration(old.spec.duration)} at {_schedule(old)}"
            yield Weakening("freeze", about, before, GONE, Pointer(path_of(old)))
    yield from _more_allowed(base, head)
    yield from _lost_cohorts(base, head)


def weakened_waivers(base: Fleet, head: Fleet) -> Iterator[Weakening]:
    """Every waiver of the head that no waiver of the base grants already."""
    for waiver in head.waivers:
        if any(_grants(old, waiver) for old in base.waivers):
            continue
        same = next((old for old in base.waivers if old.metadata.name == waiver.metadata.name), None)
        where = Pointer(path_of(waiver), ("spec", "expires") if same else ())
        about = f"waiver {waiver.metadata.name}"
        yield Weakening("waiver", about, _waived(same) if same else GONE, _waived(waiver), where)


def _looser_freeze(old: Freeze, new: Freeze, author: str | None) -> Iterator[Looser]:
    before, after = old.spec, new.spec
    if after.effect != before.effect:
        yield Looser("freeze-effect", "effect", before.effect, after.effect)
    if _schedule(new) != _schedule(old):
        yield Looser("freeze-schedule", "", _schedule(old), _schedule(new), _OTHER_TIMES)
    shorter = after.duration < before.duration if before.effect == "deny" else after.duration > before.duration
    if shorter:
        yield Looser("freeze-duration", "duration", format_duration(before.duration), format_duration(after.duration))
    for field, meant, now in (("models", before.models, after.models), ("cohorts", before.cohorts, after.cohorts)):
        if now and (not meant or set(meant) - set(now)):
            yield Looser("freeze-scope", field, listed(meant) if meant else "all", listed(now))
    added = _folded(after.override_owners) - _folded(before.override_owners)
    if added:
        names = listed(before.override_owners), listed(after.override_owners)
        yield Looser("freeze-override", "overrideOwners", *names, said(added, author))


def _more_allowed(base: Fleet, head: Fleet) -> Iterator[Weakening]:
    """Where two allowed windows stand side by side, the second may allow what the first did not."""
    before = [freeze for freeze in base.freezes if freeze.spec.effect == "allow"]
    for new in head.freezes:
        if new.spec.effect != "allow" or any(not tuple(_looser_freeze(old, new, None)) for old in before):
            continue
        same = [old for old in before if old.metadata.name == new.metadata.name]
        beside = [old for old in before if _shared(old.spec.models, new.spec.models)]
        beside = [old for old in beside if _shared(old.spec.cohorts, new.spec.cohorts)]
        if beside and not same:
            names = ", ".join(old.metadata.name for old in beside)
            after = f"also {format_duration(new.spec.duration)} at {_schedule(new)}"
            yield Weakening(
                "freeze-allow", f"freeze {new.metadata.name}", f"allowed by {names}", after, Pointer(path_of(new))
            )


def _lost_cohorts(base: Fleet, head: Fleet) -> Iterator[Weakening]:
    """A freeze of a cohort holds nothing once the cohort is gone, or has another name."""
    gone = {cohort.metadata.name for cohort in base.cohorts} - {cohort.metadata.name for cohort in head.cohorts}
    for freeze in base.freezes:
        for name in sorted(gone & set(freeze.spec.cohorts)):
            about = f"freeze {freeze.metadata.name}: cohort {name}"
            yield Weakening("freeze-scope", about, "frozen", GONE, Pointer(f"devices/cohorts/{name}.yaml"))


def _shared(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    return not left or not right or bool(set(left) & set(right))


def _schedule(freeze: Freeze) -> str:
    spec = freeze.spec
    parts = [spec.cron or "", spec.rrule or "", f"from {spec.start}" if spec.start else "", spec.time_zone]
    return " ".join(part for part in parts if part)


def _grants(old: Waiver, new: Waiver) -> bool:
    before, after = old.spec, new.spec
    same = (before.gate, before.release, before.owner.casefold()) == (after.gate, after.release, after.owner.casefold())
    return same and before.granted <= after.granted and after.expires <= before.expires


def _waived(waiver: Waiver) -> str:
    spec = waiver.spec
    return f"gate {spec.gate} for {spec.release} by {spec.owner} from {spec.granted} to {spec.expires}"


def _folded(names: tuple[str, ...]) -> set[str]:
    return {name.casefold() for name in names}

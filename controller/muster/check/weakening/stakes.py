"""Device classes and tiers of releases: whether devices may be asked for more, or a model be handled with less care."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from muster.check.change import Change, path_of, tier_rank
from muster.check.weakening.looser import GONE, Looser, Weakening, located
from muster.check.weakening.switching import weakened_switching
from muster.kinds.device_class import DeviceClass
from muster.kinds.drift import DriftAction, DriftField
from muster.kinds.finding import Pointer
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import format_duration, format_size
from muster.kinds.release import Release


def weakened_classes(base: Fleet, head: Fleet) -> Iterator[Weakening]:
    """Every device class of both sides with a larger budget, another judge, or that may be left without a model."""
    before = {found.metadata.name: found for found in base.device_classes}
    for new in head.device_classes:
        old = before.get(new.metadata.name)
        if old is None:
            continue
        about = f"device class {new.metadata.name}"
        for lost in _larger(old, new):
            yield located(lost, about, Pointer(path_of(new), ("spec", "budgets")))
        if old.spec.cpu is not None and new.spec.cpu != old.spec.cpu:
            where, why = Pointer(path_of(new), ("spec", "cpu")), "answers were judged with its instructions"
            yield Weakening("cpu", f"{about}: cpu", old.spec.cpu, new.spec.cpu or GONE, where, why)
        if added := sorted(set(new.spec.reference_devices) - set(old.spec.reference_devices)):
            where, why = Pointer(path_of(new), ("spec", "referenceDevices")), "its times count for the whole class"
            yield Weakening("reference-device", f"{about}: referenceDevices", GONE, ", ".join(added)[:80], where, why)
        if _drifts_freer(old, new):
            where, why = Pointer(path_of(new), ("spec", "drift")), "devices may keep what git never declared"
            yield Weakening("drift", f"{about}: drift", _drift_text(old), _drift_text(new), where, why)
        yield from weakened_switching(old, new)
        if new.spec.may_be_empty and not old.spec.may_be_empty:
            where = Pointer(path_of(new), ("spec", "mayBeEmpty"))
            yield Weakening("may-be-empty", f"{about}: mayBeEmpty", "false", "true", where)


_STRICTNESS: tuple[DriftAction, ...] = ("Ignore", "Warn", "Correct")


def _drifts_freer(old: DeviceClass, new: DeviceClass) -> bool:
    """True if a field is handled with less care than before, as a rule or for values that had no rule of their own."""
    before = {field: _drift_of(old, field) for field in get_args(DriftField)}
    added = [rule for rule in new.spec.drift_rules if rule not in old.spec.drift_rules]
    return any(_drift_of(new, field) < action for field, action in before.items()) or any(
        _STRICTNESS.index(rule.action) < before[rule.field] for rule in added
    )


def _drift_of(device_class: DeviceClass, field: str) -> int:
    """What is done where the field differs, whatever its value, as a rank."""
    rules = device_class.spec.drift_rules
    action = next((rule.action for rule in rules if rule.field == field and not rule.values), device_class.spec.drift)
    # Nothing corrects a runtime: there, the two are one.
    return min(_STRICTNESS.index(action), 1 if field == "runtimeVersion" else 2)


def _drift_text(device_class: DeviceClass) -> str:
    rules = ", ".join(f"{rule.field} {rule.action}" for rule in device_class.spec.drift_rules)
    return device_class.spec.drift + (f" ({rules})" if rules else "")


def lowered_tiers(change: Change) -> Iterator[Weakening]:
    """Every release that is added, widened or changed to a lower tier than the highest of its model on the base.

    To remove the release that set the tier of a model lowers it, too.
    """
    highest = _highest(change.base)
    judged = {release.name for release in change.judged} | _changed_tiers(change)
    for release in change.head.releases:
        above = highest.get(release.model)
        if release.name in judged and above and tier_rank(release.spec.tier) < tier_rank(above.spec.tier):
            about = f"release {release.name}: tier"
            why = f"{above.name} is {above.spec.tier}"
            where = Pointer(release.path, ("spec", "tier"))
            yield Weakening("tier-lowered", about, above.spec.tier, release.spec.tier, where, why)
    left = _highest(change.head)
    kept = {release.name for release in change.head.releases}
    for model, above in highest.items():
        now = left.get(model)
        if above.name not in kept and (now is None or tier_rank(now.spec.tier) < tier_rank(above.spec.tier)):
            after = now.spec.tier if now else GONE
            why = "no release is left to keep it"
            yield Weakening("tier-lowered", f"model {model}: tier", above.spec.tier, after, Pointer(above.path), why)


def _highest(fleet: Fleet) -> dict[str, Release]:
    found: dict[str, Release] = {}
    for release in fleet.releases:
        known = found.get(release.model)
        if known is None or tier_rank(release.spec.tier) > tier_rank(known.spec.tier):
            found[release.model] = release
    return found


def _changed_tiers(change: Change) -> set[str]:
    before = {release.name: release.spec.tier for release in change.base.releases}
    return {release.name for release in change.head.releases if before.get(release.name) != release.spec.tier}


def _larger(old: DeviceClass, new: DeviceClass) -> Iterator[Looser]:
    before, after = old.spec.budgets, new.spec.budgets
    for field, was, now in (
        ("storage", before.storage, after.storage),
        ("peakRam", before.peak_ram, after.peak_ram),
    ):
        if now > was:
            yield Looser("budget", field, format_size(was), format_size(now))
    for field, was, now in (
        ("loadTime", before.load_time, after.load_time),
        ("p95Latency", before.p95_latency, after.p95_latency),
    ):
        if now > was:
            yield Looser("budget", field, format_duration(was), format_duration(now))

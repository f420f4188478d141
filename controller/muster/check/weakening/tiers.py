"""Tiers and impact rules: whether the policy still asks for as much.

Tiers are compared by name over all policy files, as the fleet looks them up, so that moving one to another file is no
weakening. An impact rule is the set of its paths and fields; how they are spread over rules does not matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from muster.check.change import path_of
from muster.check.weakening.gates import looser_gate
from muster.check.weakening.guardrails import changed_readings, guardrail_text, looser_guardrail, looser_statistics
from muster.check.weakening.looser import GONE, Looser, Weakening, located, unmatched
from muster.check.weakening.patterns import covers, field_covers
from muster.kinds.finding import Pointer
from muster.kinds.fleet import Fleet
from muster.kinds.policy import Gate, ImpactRule, Policy, Reviewers, Tier
from muster.kinds.quantity import format_duration, format_percent

_BY_PEOPLE = ("commit", "pull-request", "by-hand")
_OTHERWISE = "guardrails that read it judge something else"


@dataclass(frozen=True)
class _Placed:
    """A tier with the place that it is declared at."""

    tier: Tier
    where: Pointer


def weakened_policy(base: Fleet, head: Fleet) -> Iterator[Weakening]:
    """Every tier and impact rule of the base that the head asks less with."""
    before, after = _tiers(base), _tiers(head)
    # A waiver names a gate: a gate that takes the name of a waived one would be waived unseen.
    waived = {waiver.spec.gate for waiver in (*base.waivers, *head.waivers)}
    for name, old in before.items():
        new = after.get(name)
        if new is None:
            where = _policy_place(head, old.where)
            yield Weakening("tier-removed", f"tier {name}", "declared", GONE, where)
            continue
        for lost in _looser_tier(old.tier, new.tier):
            yield located(lost, f"tier {name}", new.where)
        yield from _gates(old.tier, new, waived)
        yield from _guardrails(old.tier, new)
    yield from _readings(base, head)
    yield from _impact(base, head)


def _tiers(fleet: Fleet) -> dict[str, _Placed]:
    found: dict[str, _Placed] = {}
    for policy in fleet.policies:
        for index, tier in enumerate(policy.spec.tiers):
            found.setdefault(tier.name, _Placed(tier, Pointer(path_of(policy), ("spec", "tiers", index))))
    return found


def _policy_place(head: Fleet, where: Pointer) -> Pointer:
    """A place for what is gone: its list at the head, or its own place at the base if the file is gone too."""
    return Pointer(where.file, where.path[:2]) if where.file in map(path_of, head.policies) else where


def _looser_tier(old: Tier, new: Tier) -> Iterator[Looser]:
    yield from _steps(old, new)
    yield from _shorter("soak", "soak", old.soak, new.soak)
    yield from _shorter("health-window", "health.window", old.health.window, new.health.window)
    yield from _longer("poll-interval", "health.pollInterval", old.health.poll_interval, new.health.poll_interval)
    yield from _longer("max-age", "evidenceMaxAge", old.evidence_max_age, new.evidence_max_age)
    yield from _longer("rehearsed-within", "rehearsedWithin", old.rehearsed_within, new.rehearsed_within)
    if new.deployable < old.deployable:
        yield Looser("deployable", "deployable", str(old.deployable), str(new.deployable))
    if new.named_approvers < old.named_approvers:
        yield Looser("named-approvers", "namedApprovers", str(old.named_approvers), str(new.named_approvers))
    yield from _fewer_approvals(old.approvals, new.approvals)
    if old.signed_commits and not new.signed_commits:
        yield Looser("signed-commits", "signedCommits", "true", "false")
    if old.checklist and not new.checklist:
        yield Looser("checklist", "checklist", "true", "false")
    yield from looser_statistics(old, new)
    yield from _less_by_people(old, new)


def _less_by_people(old: Tier, new: Tier) -> Iterator[Looser]:
    """From people to a pull request to a commit; a revert that has to be merged first leaves git wrong for longer."""
    if _BY_PEOPLE.index(new.advance) < _BY_PEOPLE.index(old.advance):
        yield Looser("advance", "advance", old.advance, new.advance)
    if new.min_exposure < old.min_exposure:
        yield Looser("min-exposure", "minExposure", str(old.min_exposure), str(new.min_exposure))
    if old.revert == "commit" and new.revert != "commit":
        yield Looser("revert", "revert", old.revert, new.revert)


def _steps(old: Tier, new: Tier) -> Iterator[Looser]:
    """After any number of soaks, no more devices than before: no step may be missing, and none be higher."""
    before, after = sorted(set(old.steps)), sorted(set(new.steps))
    if len(after) < len(before) or any(now > was for was, now in zip(before, after, strict=False)):
        yield Looser("steps", "steps", " ".join(map(format_percent, before)), " ".join(map(format_percent, after)))


def _shorter(what: str, field: str, before: int, after: int) -> Iterator[Looser]:
    if after < before:
        yield Looser(what, field, format_duration(before), format_duration(after))


def _longer(what: str, field: str, before: int | None, after: int | None) -> Iterator[Looser]:
    if before is not None and (after is None or after > before):
        yield Looser(what, field, format_duration(before), GONE if after is None else format_duration(after))


def _fewer_approvals(old: Sequence[Reviewers], new: Sequence[Reviewers]) -> Iterator[Looser]:
    for count in (_largest, _sum):
        before, after = count(old), count(new)
        if any(after[role] < number for role, number in before.items()):
            yield Looser("approvals", "approvals", _reviewers(old), _reviewers(new))
            return


def _largest(reviewers: Sequence[Reviewers]) -> Counter[str]:
    found: Counter[str] = Counter()
    for asked in reviewers:
        found[asked.role] = max(found[asked.role], asked.count)
    return found


def _sum(reviewers: Sequence[Reviewers]) -> Counter[str]:
    found: Counter[str] = Counter()
    for asked in reviewers:
        found[asked.role] += asked.count
    return found


def _reviewers(reviewers: Sequence[Reviewers]) -> str:
    return ", ".join(f"{asked.count} x {asked.role}" for asked in reviewers) or GONE


def _gates(old: Tier, new: _Placed, waived: set[str]) -> Iterator[Weakening]:
    def looser(before: Gate, after: Gate) -> tuple[Looser, ...]:
        return looser_gate(before, after, old.evidence_max_age, new.tier.evidence_max_age)

    for found in unmatched(old.gates, new.tier.gates, looser, lambda gate: gate.name, waived):
        gate = old.gates[found.before]
        about = f"tier {old.name}, gate {gate.name}"
        for lost in found.looser:
            yield located(lost, about, _at(new.where, "gates", found.after))
        if found.after is None:
            what = "gate" if gate.slice is None else "slice"
            yield Weakening(what, about, _gate(gate), GONE, _at(new.where, "gates", None))


def _gate(gate: Gate) -> str:
    scope = [part for part in (gate.model, gate.device_class, gate.slice) if part]
    against = "" if gate.relative_to == "absolute" else f" of {gate.relative_to}"
    return f"{gate.metric} {gate.comparator} {gate.threshold}{against}" + (f" on {', '.join(scope)}" if scope else "")


def _guardrails(old: Tier, new: _Placed) -> Iterator[Weakening]:
    for found in unmatched(old.guardrails, new.tier.guardrails, looser_guardrail, lambda guardrail: guardrail.name):
        guardrail = old.guardrails[found.before]
        about = f"tier {old.name}, guardrail {guardrail.name}"
        for lost in found.looser:
            yield located(lost, about, _at(new.where, "guardrails", found.after))
        if found.after is None:
            yield Weakening("guardrail", about, guardrail_text(guardrail), GONE, _at(new.where, "guardrails", None))


def _readings(base: Fleet, head: Fleet) -> Iterator[Weakening]:
    """Numeric keys and metric sources go by their names, whichever file they stand in."""
    keys = [key for policy in base.policies for key in policy.spec.numeric_keys]
    sources = [source for policy in base.policies for source in policy.spec.metric_sources]
    for policy in head.policies:
        spec = policy.spec
        for index, before, after in changed_readings(keys, spec.numeric_keys):
            about, where = f"numericKeys {spec.numeric_keys[index].name}", ("spec", "numericKeys", index)
            yield Weakening("guardrail", about, before, after, Pointer(path_of(policy), where), _OTHERWISE)
        for index, before, after in changed_readings(sources, spec.metric_sources):
            about, where = f"metricSources {spec.metric_sources[index].name}", ("spec", "metricSources", index)
            yield Weakening("guardrail", about, before, after, Pointer(path_of(policy), where), _OTHERWISE)


def _at(tier: Pointer, field: str, index: int | None) -> Pointer:
    return Pointer(tier.file, (*tier.path, field) if index is None else (*tier.path, field, index))


def _impact(base: Fleet, head: Fleet) -> Iterator[Weakening]:
    after = [rule for policy in head.policies for rule in policy.spec.impact]
    for policy in base.policies:
        for index, old in enumerate(policy.spec.impact):
            asked = [new for new in after if new.needs == old.needs]
            where = _impact_place(head, policy, old, index)
            yield from _narrowed(old, "paths", asked, lambda rule: rule.paths, covers, where)
            yield from _narrowed(old, "fields", asked, lambda rule: rule.fields, field_covers, where)


def _narrowed(
    old: ImpactRule,
    field: str,
    asked: Sequence[ImpactRule],
    part_of: Callable[[ImpactRule], tuple[str, ...]],
    contains: Callable[[str, str], bool],
    where: Pointer,
) -> Iterator[Weakening]:
    wide = [part for rule in asked for part in part_of(rule)]
    lost = [part for part in part_of(old) if not any(contains(one, part) for one in wide)]
    if lost:
        before = f"{', '.join(lost)} needs a {old.needs}"
        yield Weakening("impact", f"impact rule {old.name}: {field}", before, "needs none", where)


def _impact_place(head: Fleet, policy: Policy, old: ImpactRule, index: int) -> Pointer:
    for declared in head.policies:
        for number, rule in enumerate(declared.spec.impact):
            if rule.name == old.name:
                return Pointer(path_of(declared), ("spec", "impact", number))
    path = path_of(policy)
    gone = path not in map(path_of, head.policies)
    return Pointer(path, ("spec", "impact", index) if gone else ("spec", "impact"))

"""Judging: every release on offer, by every guardrail of its tier, in every stratum; the worst stratum decides.

The declared error is shared by all questions that a release can be asked: guardrails × reachable strata × classes. That
number is a function of the declaration, so that it stays what it is while the release rolls out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from muster.kinds.device_class import DeviceClass
from muster.kinds.fleet import Fleet
from muster.kinds.policy import Tier
from muster.kinds.quantity import format_duration
from muster.kinds.release import Release
from muster.plan.documents import on_offer
from muster.plan.draws import Samples, samples
from muster.plan.guardrails import Asked, Place, Verdict, ask
from muster.plan.judged_since import judged_since
from muster.plan.metric_source import CannotTell, CountsSource, TallySource
from muster.plan.metric_source import Question as Reading
from muster.plan.statistics.family import Terms, together
from muster.plan.world import GUARDRAIL, Suspension, World

VALUES_OF_A_LABEL: Final = 32
"""How many values of a label that the policy names the declared error is kept for; git does not say how many exist."""
_WORST: Final = ("harm", "cannot-tell", "undecided", "no-worse")


@dataclass(frozen=True)
class Waiting:
    """What is not decided of a release in a class, and what would decide it."""

    subject: str
    reason: str
    lifted_by: str


def judge(fleet: Fleet, world: World, now: datetime) -> tuple[tuple[Verdict, ...], dict[str, Suspension]]:
    """Judge what is on offer, and what comes on offer because something above it is suspended.

    The worst stratum decides: one verdict of harm suspends a release everywhere. A release that nothing would replace
    is judged too: its halt is better than its harm. So is one that is suspended for a time: harm ends that for good.
    """
    for_good = {name for name, suspension in world.suspensions.items() if suspension.until is None}
    sources = {None: TallySource(world.observed.tally), **world.answers}
    since = judged_since(fleet, world.published, world.suspensions, world.resumed, now)
    drawn = samples(world.observed.tally, since, now)
    new: dict[str, Suspension] = {}
    while True:
        placed = list(_places(fleet, world, {**world.suspensions, **new}, since, drawn))
        verdicts = _verdicts(fleet, placed, sources, heard=world.observed.heard)
        harmed: dict[str, list[str]] = {}
        for verdict in verdicts:
            if verdict.halts and verdict.release not in for_good:
                harmed.setdefault(verdict.release, []).append(verdict.reason)
        if harmed.keys() <= new.keys():
            return verdicts, new
        new |= {
            release: Suspension(release=release, reason="; ".join(reasons)[:2_000], at=now, by=GUARDRAIL)
            for release, reasons in harmed.items()
        }


def places(
    fleet: Fleet, world: World, suspensions: Mapping[str, Suspension], now: datetime
) -> Iterator[tuple[Release, Place]]:
    """Every release on offer, in every class."""
    since = judged_since(fleet, world.published, world.suspensions, world.resumed, now)
    yield from _places(fleet, world, suspensions, since, {})


def _places(
    fleet: Fleet,
    world: World,
    suspensions: Mapping[str, Suspension],
    since: Mapping[tuple[str, str], int],
    drawn: Samples,
) -> Iterator[tuple[Release, Place]]:
    for device_class in fleet.device_classes:
        name = device_class.metadata.name
        for model in device_class.spec.models:
            offered = on_offer(fleet, world, suspensions, model, name)
            for index, release in enumerate(offered):
                superseded = [f"{model}/{release.spec.supersedes}"] if release.spec.supersedes else []
                below = [older.name for older in offered[index + 1 :] if older.name not in suspensions]
                yield (
                    release,
                    Place(
                        release.name,
                        name,
                        tuple(dict.fromkeys([*superseded, *below])),
                        since.get((release.name, name), 0),
                        world.observed.exposure(release.name, name).error_codes,
                        drawn.get((release.name, name), {}),
                    ),
                )


def _verdicts(
    fleet: Fleet, placed: Iterable[tuple[Release, Place]], sources: Mapping[str | None, CountsSource], *, heard: bool
) -> tuple[Verdict, ...]:
    keys = [key for policy in fleet.policies for key in policy.spec.numeric_keys]
    asked: dict[str, list[Asked]] = {}
    terms: dict[str, Terms] = {}
    for release, place in placed:
        tier = fleet.tier(release)
        if tier is None:
            continue
        terms[release.name] = terms_of(fleet, release, tier)
        for guardrail in tier.guardrails:
            source = sources.get(guardrail.source) or _Undeclared(guardrail.source or "")
            found = ask(guardrail, place, source, keys, terms[release.name])
            deaf = guardrail.source is None and not heard
            asked.setdefault(release.name, []).extend(one.unheard() if deaf else one for one in found)
    return tuple(one.told() for name, found in asked.items() for one in _decided(found, terms[name]))


def _decided(found: list[Asked], terms: Terms) -> list[Asked]:
    """The worst stratum of each question explained; and harm that only all of them together show."""
    halting = [one for one in found if one.guardrail.severity == "halt"]
    whole = together([one.decided for one in halting], terms)
    if whole and whole.outcome == "harm" and not any(one.decided.outcome == "harm" for one in halting):
        counted = [one for one in halting if one.decided.outcome != "cannot-tell" and not one.decided.too_few]
        worst = max(counted, key=lambda one: one.decided.harm)
        found = [replace(one, decided=whole) if one is worst else one for one in found]
    worst_of: dict[tuple[str, str, str], Asked] = {}
    for one in found:
        key = (one.place.device_class, one.guardrail.name, one.against)
        if key not in worst_of or _badness(one) < _badness(worst_of[key]):
            worst_of[key] = one
    return [one.explained() if any(one is worst for worst in worst_of.values()) else one for one in found]


def _badness(one: Asked) -> tuple[int, float, float]:
    return (_WORST.index(one.decided.outcome), -one.decided.harm, one.decided.no_worse)


def terms_of(fleet: Fleet, release: Release, tier: Tier) -> Terms:
    """The declared error, and how many questions share it. Those that stop nothing spend none of it."""
    classes = [item for item in fleet.device_classes if release.runtime_for(item.metadata.name)]
    asking = [one for one in tier.guardrails if one.severity == "halt"]
    each = sum((one.limit is not None) + (one.margin is not None) for one in asking)
    reachable = sum(_strata(item, tier) for item in classes)
    return Terms(error_ppm=tier.false_halts, tests=max(1, each * reachable), strata=max(1, reachable))


def _strata(device_class: DeviceClass, tier: Tier) -> int:
    """Declared OS versions and the others; the declared runtime and others; so many values of each label."""
    versions = len(device_class.spec.os.versions) + 1
    return int(versions * 2 * VALUES_OF_A_LABEL ** len(tier.strata))


def judge_waits(fleet: Fleet, world: World, verdicts: tuple[Verdict, ...], now: datetime) -> list[Waiting]:
    """What holds each release in each class: one line for each guardrail, that of the worst stratum."""
    worst: dict[tuple[str, str, str], Verdict] = {}
    for verdict in verdicts:
        key = (verdict.release, verdict.device_class, verdict.guardrail)
        if verdict.outcome in ("undecided", "cannot-tell") and verdict.severity == "halt":
            known = worst.get(key)
            if known is None or _WORST.index(verdict.outcome) < _WORST.index(known.outcome):
                worst[key] = verdict
    overdue = {name: _overdue(fleet, world, name, now) for name in {name for name, _, _ in worst}}
    return [
        Waiting(f"{release} in {device_class}", overdue[release] + verdict.reason, verdict.lifted_by)
        for (release, device_class, _), verdict in worst.items()
    ]


def _overdue(fleet: Fleet, world: World, name: str, now: datetime) -> str:
    """What is said of a step that stood for longer than the longest wait: it never moves on by itself."""
    release = fleet.release(name)
    tier = fleet.tier(release) if release else None
    began = max((step.since for (known, _), step in world.steps.items() if known == name and step.ppm), default=None)
    if tier is None or tier.longest_wait is None or began is None:
        return ""
    waited = (now - began).total_seconds() * 1_000_000
    if waited <= tier.longest_wait:
        return ""
    longest = format_duration(tier.longest_wait)
    return f"held: not decided after the longest wait of {longest}, and a person must decide; "


@dataclass(frozen=True)
class _Undeclared:
    """A source that nobody opened. Satisfies `CountsSource`."""

    name: str

    def strata(self, _release: str, _device_class: str) -> CannotTell:
        """Why not."""
        return CannotTell(self.name, "this metric source was not asked", "declare it under metricSources")

    def counts(self, _question: Reading) -> CannotTell:
        """Why not."""
        return self.strata("", "")

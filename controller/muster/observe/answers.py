"""What declared metric sources answer, asked before the planner decides: a plan touches nothing.

Only releases that are on offer now are asked about. What comes on offer within the same plan, because something above
it is halted, is asked about at the next tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from muster.kinds.fleet import Fleet
from muster.observe.prometheus_source import PrometheusSource
from muster.observe.sources import open_sources
from muster.plan.guardrails import reading
from muster.plan.judge import places
from muster.plan.metric_source import CannotTell, Counts, CountsSource, Question
from muster.plan.world import World

MOST_STRATA: Final = 200
"""Strata of one release in one class that a source is asked about."""


@dataclass
class Answers:
    """What one source answered. Satisfies `CountsSource`."""

    name: str
    found_strata: dict[tuple[str, str], tuple[str, ...] | CannotTell] = field(default_factory=dict)
    found_counts: dict[Question, Counts | CannotTell] = field(default_factory=dict)

    def strata(self, release: str, device_class: str) -> tuple[str, ...] | CannotTell:
        """As it was answered."""
        return self.found_strata.get((release, device_class), self._unasked())

    def counts(self, question: Question) -> Counts | CannotTell:
        """As it was answered."""
        return self.found_counts.get(question, self._unasked())

    def _unasked(self) -> CannotTell:
        return CannotTell(self.name, "it was not asked yet", "it is asked at the next tick")


def asked(fleet: Fleet, world: World, environment: Mapping[str, str], now: datetime) -> World:
    """The world with what declared metric sources answer; `environment` holds their secrets."""
    if not any(policy.spec.metric_sources for policy in fleet.policies):
        return world
    sources = open_sources(fleet, world.observed.tally, environment, lambda: now)
    try:
        return replace(world, answers=answers(fleet, world, sources, now))
    finally:
        for source in sources.values():
            if isinstance(source, PrometheusSource):
                source.client.close()


def answers(
    fleet: Fleet, world: World, sources: Mapping[str | None, CountsSource], now: datetime
) -> dict[str | None, CountsSource]:
    """Everything that the declared guardrails will want to know of sources that have a name."""
    found: dict[str | None, Answers] = {name: Answers(name) for name in sources if name is not None}
    for release, place in places(fleet, world, world.suspensions, now):
        tier = fleet.tier(release)
        for guardrail in tier.guardrails if tier else ():
            kept = found.get(guardrail.source)
            if kept is None:
                continue
            source, where = sources[kept.name], (place.release, place.device_class)
            if where not in kept.found_strata:
                kept.found_strata[where] = _bounded(kept.name, source.strata(*where))
            strata = kept.found_strata[where]
            for stratum in () if isinstance(strata, CannotTell) else strata or ("",):
                question = reading(guardrail, place, stratum)
                kept.found_counts[question] = source.counts(question)
    return dict(found)


def _bounded(name: str, strata: tuple[str, ...] | CannotTell) -> tuple[str, ...] | CannotTell:
    if isinstance(strata, CannotTell) or len(strata) <= MOST_STRATA:
        return strata
    return CannotTell(name, f"it knows {len(strata)} strata, more than {MOST_STRATA}", "name fewer labels under strata")

"""What the planner is told: published, prepared, suspended, observed. Facts about the world, never mixed.

What was declared is a `Fleet`. What a device runs and whether it is healthy reach the planner as counts, because a
plan must not cost O(devices).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from muster.kinds.desired import DesiredDocument
from muster.kinds.field_state import Step
from muster.kinds.hold import Hold
from muster.kinds.phases import TRIED, Phase
from muster.plan.metric_source import CountsSource
from muster.plan.proposals import Proposal
from muster.plan.tallies import Cell

ModelClass = tuple[str, str]
"""(model, device class)"""


@dataclass(frozen=True)
class Published:
    """The desired state that devices can fetch now. Generation 0: nothing was ever published."""

    generation: int = 0
    documents: Mapping[ModelClass, DesiredDocument] = field(default_factory=dict)
    artifacts: frozenset[str] = frozenset()


GUARDRAIL = "guardrail"
"""Who suspends, where no person does. No person can be called so: a person is a name and an address."""


@dataclass(frozen=True)
class Suspension:
    """The brake on one release: why, since when, and the commit that made git say the same (None: still to come).

    With `until`, somebody holds the release for a time: git goes on saying what will be true again, so nothing is
    reverted. `since` is then, per device class, the generation at which the release had come on offer: the evidence of
    this attempt, by which guardrails go on judging it.
    """

    release: str
    reason: str
    at: datetime
    by: str
    revert: str | None = None
    until: datetime | None = None
    since: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Exposure:
    """How far the devices of one class came with one release.

    `recalled` devices left because they were told to; they say nothing about the release.
    """

    phases: Mapping[Phase, int] = field(default_factory=dict)
    recalled: int = 0
    error_codes: Mapping[str, int] = field(default_factory=dict)
    silent: int = 0
    """Of those that failed, devices that fell silent in mid-update, past a time limit."""

    @property
    def tried(self) -> int:
        """Devices that activated the release, or failed to: the denominator of every share."""
        return sum(count for phase, count in self.phases.items() if phase in TRIED)

    @property
    def failures(self) -> int:
        """Devices that failed, rolled back by themselves, or went dark."""
        return sum(self.phases.get(phase, 0) for phase in ("failed", "rolled-back", "dark"))


@dataclass(frozen=True)
class Observed:
    """Counts per (release, device class), and the tally that they are sums of, for `plan.metric_source.TallySource`.

    `heard`: reports come in. While they do not, counts are those of before, and say nothing new in a release's favour.
    """

    exposures: Mapping[tuple[str, str], Exposure] = field(default_factory=dict)
    tally: Mapping[Cell, int] = field(default_factory=dict)
    heard: bool = True

    def exposure(self, release: str, device_class: str) -> Exposure:
        """The counts, all zero where nothing was reported."""
        return self.exposures.get((release, device_class), Exposure())


@dataclass(frozen=True)
class World:
    """Everything but the declaration.

    `prepared`, `unbuildable` (with the reason) and `building` name releases by the digest of their pins: that an
    artifact was prepared for one release says nothing about another that names the same artifact.
    """

    signer: str | None = None
    """Public half (PEM) of the key that this controller signs artifacts with."""
    published: Published = Published()
    prepared: frozenset[str] = frozenset()
    unbuildable: Mapping[str, str] = field(default_factory=dict)
    building: frozenset[str] = frozenset()
    damaged: frozenset[str] = frozenset()
    """Digests of artifacts whose bytes were found altered or gone: not to be named until they are built again."""
    suspensions: Mapping[str, Suspension] = field(default_factory=dict)
    resumed: Mapping[str, int] = field(default_factory=dict)
    """Releases that came out of a suspension, and the generation that was published then.

    They are offered anew from a later one on, and judged by what devices show from there.
    """
    holds: Mapping[str, Hold] = field(default_factory=dict)
    """Artifacts, by digest, that were halted and that no later commit named anew."""
    observed: Observed = Observed()
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Release → what a device that runs it reports, of every release that was ever declared."""
    answers: Mapping[str | None, CountsSource] = field(default_factory=dict)
    """What declared metric sources answered, by name; the counts of `observed` are a source of their own."""
    steps: Mapping[tuple[str, str], Step] = field(default_factory=dict)
    """(release, cohort) → the percentage that is published, and since when."""
    begun: frozenset[str] = frozenset()
    """Releases that were ever published to some device."""
    proposals: Mapping[str, Proposal] = field(default_factory=dict)
    """Branch → what the controller has put there for people to merge."""

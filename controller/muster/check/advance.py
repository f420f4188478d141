"""What a change brings forward: for each release, the cohorts that get more of it, against what they have at the base.

A cohort that the head adds takes its devices from another one: it begins with what that one has. After a new salt a
release begins anew, since other devices get it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from muster.check.case import Case
from muster.check.change import Move, tier_rank
from muster.check.effect import heir, offers
from muster.check.stakes import declared_tier, tier_held_to
from muster.kinds.finding import Pointer
from muster.kinds.policy import Tier, TierName
from muster.kinds.quantity import PPM
from muster.kinds.release import Release


@dataclass(frozen=True)
class Raised:
    """One cohort that gets more: `before` and `after` are ppm; `of` is the base's cohort that its devices are in.

    `first`: at the base, its devices have no other release of the model.
    """

    cohort: str
    of: str
    before: int
    after: int
    first: bool


@dataclass(frozen=True)
class Advance:
    """One release that gets wider, and the tier of the base that it is held to."""

    release: Release
    move: Move
    tier_name: TierName
    tier: Tier
    raised: tuple[Raised, ...]

    def where(self, cohort: str | None = None) -> Pointer:
        """What a person would edit."""
        path = ("spec", "rollout", "cohorts", cohort) if cohort else ("spec", "rollout", "cohorts")
        return Pointer(self.release.path, path)

    @property
    def is_guarded(self) -> bool:
        """True from `production` on."""
        return tier_rank(self.tier_name) >= tier_rank("production")


def advances(case: Case) -> Iterator[Advance]:
    """Releases that get wider and whose tier the base declares; `approval/tier` says of the others that it does not."""
    for move in case.change.moves:
        name = tier_held_to(case, move.release)
        tier = declared_tier(case.change.base, name)
        raised = tuple(_raised(case, move))
        if raised and tier is not None:
            yield Advance(move.release, move, name, tier, raised)


def _raised(case: Case, move: Move) -> Iterator[Raised]:
    base, head = case.change.base, case.change.head
    for cohort, after in sorted(move.after.items()):
        of = heir(base, head, cohort) if any(found.metadata.name == cohort for found in head.cohorts) else cohort
        had = move.before.get(of, 0)
        before = 0 if move.resalted and not had == after == PPM else had
        if after > before:
            yield Raised(cohort, of, before, after, _is_first(case, move.release, of))


def _is_first(case: Case, release: Release, cohort: str) -> bool:
    """True if no device of this cohort that could get the release has another one of the model to lose."""
    return not any(
        offer.release.name != release.name
        for device_class in case.change.base.device_classes
        if release.runtime_for(device_class.metadata.name) and release.model in device_class.spec.models
        for offer in offers(case.change.base, release.model, device_class.metadata.name, cohort)
    )

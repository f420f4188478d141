"""Stakes: the tier that a release is held to.

A release may raise its tier above that of its model, which is the highest tier of the model's releases on the base.
To lower it takes an approval of the policy owners; without one, the release is held to the tier of its model.
"""

from __future__ import annotations

from muster.check.case import Case
from muster.check.change import tier_rank
from muster.kinds.fleet import Fleet
from muster.kinds.policy import Tier, TierName
from muster.kinds.release import Release


def lowered(case: Case) -> tuple[Release, ...]:
    """Releases that this change brings forward, or edits, below the tier of their model."""
    concerned = {release.name: release for release in case.change.judged}
    concerned.update({release.name: release for release, fields in case.change.repinned if "spec.tier" in fields})
    return tuple(release for _, release in sorted(concerned.items()) if is_lowered(case, release))


def is_lowered(case: Case, release: Release) -> bool:
    """True if the release is below the tier of its model."""
    of_model = case.change.base_tiers.get(release.model)
    return of_model is not None and tier_rank(release.spec.tier) < tier_rank(of_model)


def tier_held_to(case: Case, release: Release) -> TierName:
    """The tier whose rules the release must keep."""
    of_model = case.change.base_tiers.get(release.model)
    if of_model is None or not is_lowered(case, release) or case.reviews.approved_by(case.reviews.policy_owners):
        return release.spec.tier
    return of_model


def declared_tier(base: Fleet, name: TierName) -> Tier | None:
    """The tier as the base's policy declares it."""
    return next((tier for policy in base.policies if (tier := policy.tier(name))), None)

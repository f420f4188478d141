"""Steps and order: a percentage moves to the next declared step of its tier, never further; earlier cohorts go first.

- Per cohort: from p, only to the smallest declared step above p.
- Devices that have no release of the model yet have nothing to lose: their first release may go to any declared step.
- From `production` on, a cohort has at most what every earlier cohort has, and the first cohort had some of it before.
- While releases are at different percentages in different cohorts, no cohort may select other devices: they would skip
  steps that no percentage shows.
"""

from __future__ import annotations

from collections.abc import Iterator

from muster.check.advance import Advance, Raised
from muster.check.case import Case
from muster.check.change import Change, path_of, tier_rank
from muster.check.effect import offers
from muster.check.verdict import Verdict
from muster.kinds.finding import Pointer
from muster.kinds.fleet import Fleet
from muster.kinds.policy import TierName
from muster.kinds.quantity import format_percent

STEP = "transition/step"
ORDER = "transition/order"


def step_verdicts(advance: Advance) -> Iterator[Verdict]:
    """One for each cohort that gets more."""
    for raised in advance.raised:
        yield _step(advance, raised)


def _step(advance: Advance, raised: Raised) -> Verdict:
    steps = advance.tier.steps
    declared = " → ".join(format_percent(step) for step in steps)
    following = next((step for step in steps if step > raised.before), None)
    moved = f"{raised.cohort} goes from {format_percent(raised.before)} to {format_percent(raised.after)}"
    holds = raised.after == following or (raised.first and raised.after in steps)
    if not holds:
        right = f"{raised.cohort}: {format_percent(following)}" if following else "no step follows"
        message, hint = f"{moved}, which is not the next step of {declared}", f"write {right}"
    elif raised.after == following:
        message, hint = f"{moved}, the next step of {declared}", ""
    else:
        message, hint = f"{moved} at once: its devices have no other release of {advance.release.model} to lose", ""
    return Verdict(
        rule=STEP,
        subject=advance.release.name,
        outcome="pass" if holds else "fail",
        message=message,
        hint=hint,
        tier=advance.tier_name,
        measured=format_percent(raised.after),
        threshold=format_percent(following) if following else None,
        where=advance.where(raised.cohort),
    )


def order_verdicts(case: Case, advance: Advance) -> Iterator[Verdict]:
    """One for each cohort that gets more than the order of cohorts lets it."""
    if not advance.is_guarded:
        return
    names = [cohort.metadata.name for cohort in case.change.head.cohorts]
    for raised in advance.raised:
        if raised.first or raised.cohort not in names:
            continue
        earlier = names[: names.index(raised.cohort)]
        behind = [name for name in earlier if advance.move.after.get(name, 0) < raised.after]
        if behind:
            said = f"{raised.cohort} would be at {format_percent(raised.after)} before {', '.join(behind[:8])}"
            yield _out_of_order(advance, raised, said, f"widen {behind[0]} first: cohorts go in their declared order")
        elif earlier and not raised.before and not advance.move.before.get(earlier[0], 0):
            said = f"{raised.cohort} would get it together with {earlier[0]}, which comes first and is its canary"
            yield _out_of_order(advance, raised, said, f"give it to {earlier[0]} alone, and to others after its soak")


def _out_of_order(advance: Advance, raised: Raised, message: str, hint: str) -> Verdict:
    return Verdict(
        ORDER,
        advance.release.name,
        "fail",
        message,
        hint,
        tier=advance.tier_name,
        where=advance.where(raised.cohort),
    )


def regrouping_verdicts(case: Case) -> Iterator[Verdict]:
    """One for each cohort that would select other devices, or go, while a rollout is under way."""
    change = case.change
    after = {cohort.metadata.name: cohort for cohort in change.head.cohorts}
    changed = [
        cohort
        for cohort in change.base.cohorts
        if (found := after.get(cohort.metadata.name)) is None or found.spec != cohort.spec
    ]
    under_way = _under_way(change) if changed else None
    for cohort in changed if under_way else ():
        model, tier = under_way  # type: ignore[misc]
        yield Verdict(
            STEP,
            path_of(cohort),
            "fail",
            f"cohort {cohort.metadata.name} changes while {model} is at different percentages in different cohorts: "
            "devices could skip steps",
            "finish that rollout or take it back, then change cohorts",
            severity="warn" if tier == "research" else "block",
            tier=tier,
            where=Pointer(path_of(cohort), ("spec",)),
        )


def _under_way(change: Change) -> tuple[str, TierName] | None:
    """The model with most at stake that is not the same in all cohorts, at the base or at the head."""
    found = [pair for fleet in (change.base, change.head) for pair in _uneven(fleet)]
    return max(found, key=lambda pair: tier_rank(pair[1]), default=None)


def _uneven(fleet: Fleet) -> Iterator[tuple[str, TierName]]:
    for device_class in fleet.device_classes:
        for model in device_class.spec.models:
            offered = {
                tuple((offer.release.name, offer.ppm) for offer in found): found
                for cohort in fleet.cohorts
                for found in [offers(fleet, model, device_class.metadata.name, cohort.metadata.name)]
            }
            if len(offered) > 1:
                tiers = [offer.release.spec.tier for found in offered.values() for offer in found]
                yield model, max(tiers, key=tier_rank)

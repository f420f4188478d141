"""Advancing: the next step of each rollout, or what holds it up.

Rules:
- One step at a time: cohorts in their order, within a cohort the steps of the tier. Never down, and none skipped.
- Only the newest release of a model that reaches devices; only cohorts that its rollout names.
- Every guardrail that halts has to say "no-worse" wherever the release goes, in the worst stratum.
- A release at 0 % is begun once in its life, at its `notBefore`: one that was published before is for people to offer.
- Nothing here keeps a device from what is declared: newcomers and those that return take it at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from muster.kinds.field_state import Step
from muster.kinds.fleet import Fleet
from muster.kinds.moment import moment_of, utc_text
from muster.kinds.phases import TRIED
from muster.kinds.policy import Tier, Way
from muster.kinds.quantity import format_duration, format_percent
from muster.kinds.release import Release
from muster.plan.advance_record import message_of
from muster.plan.documents import is_held, reaches
from muster.plan.frozen import frozen
from muster.plan.guardrails import Verdict
from muster.plan.judge import Waiting
from muster.plan.proposals import Proposal, Withdraw, advance_branch, is_proposed, merged
from muster.plan.tallies import PHASE
from muster.plan.world import Suspension, World

_NAMED = 5
_NO_WORSE = "no-worse"


@dataclass(frozen=True)
class Advance:
    """Give one cohort the next step of a release: `before` and `after` in ppm. `message` is the commit's."""

    release: str
    path: str
    cohort: str
    before: int
    after: int
    way: Way
    message: str

    @property
    def branch(self) -> str:
        """Where it is proposed, if it is to be merged by people."""
        return advance_branch(self.release, self.cohort, self.after)


@dataclass(frozen=True)
class _Next:
    """A step that could be taken."""

    release: Release
    tier: Tier
    cohort: str
    before: int
    after: int

    @property
    def moved(self) -> str:
        return f"{self.cohort} {format_percent(self.before)} → {format_percent(self.after)}"


def advances(
    fleet: Fleet,
    world: World,
    suspensions: Mapping[str, Suspension],
    verdicts: tuple[Verdict, ...],
    now: datetime,
) -> tuple[list[Advance], list[Waiting]]:
    """The steps to take now, one for each model at most, and what the others wait for."""
    steps: list[Advance] = []
    waits: list[Waiting] = []
    for release, tier in _under_way(fleet, world):
        following = next_step(fleet, release, tier)
        if following is None:
            waits += _unnamed(fleet, release, tier)
            continue
        holding = list(_holding(fleet, world, suspensions, verdicts, following, now))
        if tier.advance == "by-hand":
            # What holds up the step of a person is said by the gate, when there is one.
            waits += [] if holding else [_waiting(following, "people take the steps of its tier", _BY_HAND)]
        elif holding:
            waits += holding
        else:
            said = [one for one in verdicts if one.release == release.name]
            message = message_of(release.name, following.moved, said)
            where = (following.cohort, following.before, following.after)
            steps.append(Advance(release.name, release.path, *where, tier.advance, message))
    return steps, waits


_BY_HAND = "muster promote, or `advance: commit` in the tier"


def withdrawals(fleet: Fleet, world: World, suspensions: Mapping[str, Suspension]) -> list[Withdraw]:
    """Proposals that are no longer what the controller would propose, or that were merged."""
    found = []
    for branch, proposal in sorted(world.proposals.items()):
        why = _outdated(fleet, world, suspensions, proposal)
        if why:
            found.append(Withdraw(branch, proposal.release, why))
    return found


def next_step(fleet: Fleet, release: Release, tier: Tier) -> _Next | None:
    """The first cohort that the rollout names and that has not the tier's last step; None: there is none left."""
    shares = release.spec.rollout.cohorts
    for cohort in (item.metadata.name for item in fleet.cohorts):
        following = min((step for step in tier.steps if step > shares.get(cohort, 0)), default=None)
        if cohort in shares and following is not None:
            return _Next(release, tier, cohort, shares[cohort], following)
    return None


def _under_way(fleet: Fleet, world: World) -> Iterator[tuple[Release, Tier]]:
    for model in fleet.models:
        releases = fleet.releases_of(model)
        newest = next((one for one in releases if one.spec.rollout.reaches_any), None)
        for release in releases:
            tier = fleet.tier(release)
            scheduled = not release.spec.rollout.reaches_any and release.spec.rollout.not_before is not None
            if tier is not None and (release is newest or (scheduled and release.name not in world.begun)):
                yield release, tier


def _holding(
    fleet: Fleet,
    world: World,
    suspensions: Mapping[str, Suspension],
    verdicts: tuple[Verdict, ...],
    following: _Next,
    now: datetime,
) -> Iterator[Waiting]:
    """Everything that holds the step up; what comes after a brake is not looked at."""
    release, rollout = following.release, following.release.spec.rollout
    if release.name in suspensions:
        yield _waiting(following, "the release is suspended", "the suspension ends")
        return
    if is_held(world, release):
        yield _waiting(following, "its artifact is on hold", "a commit that offers it again on purpose")
        return
    if following.tier.advance == "commit" and _asks_people(following.tier):
        said = "its tier asks people for approvals, which a commit of the controller's cannot have"
        yield _waiting(following, said, "`advance: pull-request` in the tier, or muster promote")
    if rollout.not_before is not None and now < moment_of(rollout.not_before):
        yield _waiting(following, f"not before {rollout.not_before}", rollout.not_before)
    if rollout.reaches_any:
        yield from _step_holds(fleet, world, verdicts, following, now)
    stopped = frozen(fleet.freezes, release.model, following.cohort, now)
    if stopped is not None:
        until = utc_text(stopped.lifts_at) if stopped.lifts_at else "the end of the freeze, which is not foreseen"
        yield _waiting(following, f"frozen by {', '.join(stopped.names)}: {stopped.reason}", until)
    branch = advance_branch(release.name, following.cohort, following.after)
    if following.tier.advance == "pull-request" and is_proposed(world.proposals, branch):
        said = f"proposed as {world.proposals[branch].reference}"
        yield _waiting(following, said, "people merge it, or take the step by hand: muster promote")


def _asks_people(tier: Tier) -> bool:
    return bool(tier.approvals or tier.named_approvers or tier.checklist)


def _step_holds(
    fleet: Fleet, world: World, verdicts: tuple[Verdict, ...], following: _Next, now: datetime
) -> Iterator[Waiting]:
    """What the step before has to show first."""
    release, tier = following.release, following.tier
    shares = {name: ppm for name, ppm in release.spec.rollout.cohorts.items() if ppm}
    found = [world.steps.get((release.name, name)) for name in shares]
    steps = [step for step in found if step is not None]
    if not _is_published(fleet, world, release, shares) or len(steps) < len(found):
        yield _waiting(following, "what git declares of it is not published yet", "it is prepared and published")
        return
    yield from _not_judged(fleet, verdicts, following)
    latest = max(steps, key=lambda step: step.since)
    try:
        end = latest.since + timedelta(microseconds=tier.soak)
    except OverflowError:
        yield _waiting(following, f"it soaks for {format_duration(tier.soak)}", "no time that has a date")
        return
    if now < end:
        yield _waiting(following, f"it soaks for {format_duration(tier.soak)}, until {utc_text(end)}", utc_text(end))
    tried = exposure(world, release.name, latest)
    if tried < tier.min_exposure:
        said = f"{tried} of {tier.min_exposure} devices tried it since the step was published"
        yield _waiting(following, said, f"{tier.min_exposure - tried} more devices try it")


def exposure(world: World, release: str, step: Step) -> int:
    """Devices that came to a release since a step was published, and tried it."""
    tried: frozenset[str] = frozenset(TRIED)
    return sum(
        count
        for cell, count in world.observed.tally.items()
        if cell.release == release and cell.what == PHASE and cell.bucket in tried and cell.entered >= step.generation
    )


def _not_judged(fleet: Fleet, verdicts: tuple[Verdict, ...], following: _Next) -> Iterator[Waiting]:
    """Guardrails that do not say "no-worse" everywhere the release goes."""
    release = following.release
    halting = [one.name for one in following.tier.guardrails if one.severity == "halt"]
    if not halting:
        yield _waiting(following, "cannot tell: its tier has no guardrail that halts", "declare one")
    found: dict[tuple[str, str], list[Verdict]] = {}
    for one in verdicts:
        if one.release == release.name and one.severity == "halt":
            found.setdefault((one.device_class, one.guardrail), []).append(one)
    open_ones: dict[str, list[str]] = {}
    for device_class in _classes(fleet, release):
        for name in halting:
            said = found.get((device_class, name), [])
            outcome: str = next((one.outcome for one in said if one.outcome != "no-worse"), _NO_WORSE)
            if outcome != _NO_WORSE or not said:
                outcome = outcome if said else "cannot-tell"
                open_ones.setdefault(outcome, []).append(f"{name} in {device_class}")
    for outcome, places in open_ones.items():
        more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
        said_where = f"{', '.join(places[:_NAMED])}{more}"
        yield _waiting(following, f"{outcome.replace('-', ' ')}: {said_where}", "its guardrails say no-worse")


def _is_published(fleet: Fleet, world: World, release: Release, shares: Mapping[str, int]) -> bool:
    """True if devices of every class that it goes to can fetch what git declares of it."""
    for device_class in _classes(fleet, release):
        document = world.published.documents.get((release.model, device_class))
        entries = document.entries if document else ()
        if not any(
            entry.release == release.name and entry.artifact == release.spec.artifact and dict(entry.ppm) == shares
            for entry in entries
        ):
            return False
    return True


def _classes(fleet: Fleet, release: Release) -> list[str]:
    return [
        item.metadata.name
        for item in fleet.device_classes
        if release.model in item.spec.models and reaches(release, item.metadata.name)
    ]


def _unnamed(fleet: Fleet, release: Release, tier: Tier) -> list[Waiting]:
    """A rollout that ends where its file does, while other cohorts have none of it."""
    missing = [one.metadata.name for one in fleet.cohorts if one.metadata.name not in release.spec.rollout.cohorts]
    if tier.advance == "by-hand" or not missing:
        return []
    said = f"its rollout does not name {', '.join(missing[:_NAMED])}"
    return [Waiting(release.name, said, 'the cohort is named, at "0%"')]


def _outdated(fleet: Fleet, world: World, suspensions: Mapping[str, Suspension], proposal: Proposal) -> str:
    """Why a proposal goes; empty: it stays."""
    release = fleet.release(proposal.release)
    if merged(proposal, release):
        return "git says the same"
    tier = fleet.tier(release) if release else None
    if release is None or tier is None:
        return "the release is not declared any more"
    suspension = suspensions.get(release.name)
    if proposal.what == "revert":
        return _revert_outdated(tier, suspension)
    if suspension is not None:
        return f"the release is suspended: {suspension.reason}"[:500]
    return "its artifact is on hold" if is_held(world, release) else _step_outdated(fleet, release, tier, proposal)


def _revert_outdated(tier: Tier, suspension: Suspension | None) -> str:
    if suspension is None or suspension.until is not None:
        return "the suspension is over"
    return "" if tier.revert == "pull-request" else "the tier asks for a commit"


def _step_outdated(fleet: Fleet, release: Release, tier: Tier, proposal: Proposal) -> str:
    following = next_step(fleet, release, tier)
    if following is None or proposal.branch != advance_branch(release.name, following.cohort, following.after):
        return "another step comes next"
    return "" if tier.advance == "pull-request" else "the tier asks for no pull request"


def _waiting(following: _Next, reason: str, lifted_by: str) -> Waiting:
    return Waiting(f"{following.release.name}: {following.moved}", reason, lifted_by)

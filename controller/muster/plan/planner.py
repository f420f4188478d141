"""The planner: (declared, world, now) → plan.

Steps, in this order and under these names in code, docs and `muster plan`:

1. lapse     suspensions whose time has come: the release is offered anew
2. judge     guardrails of every release on offer → verdicts; harm suspends the release
3. publish   the desired documents, if they say something else than what is published
4. revert    a commit for every release that is suspended for good and that git still offers
5. lift      suspensions of releases that git no longer offers
6. withdraw  proposals of the controller that were merged, or that it would not make any more
7. advance   a commit or a pull request for the next step of a rollout, where the tier leaves it to the controller
8. prepare   artifacts that a declared release needs and that are not yet built, verified and signed

Preparing comes last because it takes longest: nothing waits for a build but the release that needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from muster.kinds.desired import DesiredDocument
from muster.kinds.fleet import Fleet
from muster.kinds.hold import AGAIN, Hold, hold_of
from muster.kinds.moment import utc_text
from muster.kinds.policy import Way
from muster.kinds.release import Release
from muster.plan.advance import Advance, advances, withdrawals
from muster.plan.documents import desired_documents, is_held, kept_document, on_offer, reaches
from muster.plan.guardrails import Verdict
from muster.plan.judge import judge, judge_waits
from muster.plan.lapse import Lapse, lapse
from muster.plan.proposals import Withdraw, is_proposed, revert_branch
from muster.plan.world import ModelClass, Suspension, World


@dataclass(frozen=True)
class Prepare:
    """Build (or fetch), verify and sign the artifact of a release."""

    release: str
    artifact: str


@dataclass(frozen=True)
class Suspend:
    """Stop offering a release, at once."""

    release: str
    reason: str


@dataclass(frozen=True)
class Publish:
    """Make these documents what devices fetch."""

    generation: int
    documents: Mapping[ModelClass, DesiredDocument] = field(hash=False)
    changed: tuple[ModelClass, ...]
    artifacts: tuple[str, ...]


@dataclass(frozen=True)
class Revert:
    """Commit what makes git say that a suspended release is not offered."""

    release: str
    path: str
    reason: str
    way: Way = "commit"


@dataclass(frozen=True)
class Lift:
    """Forget a suspension: git says the same now."""

    release: str
    reason: str


Action = Lapse | Suspend | Publish | Revert | Lift | Withdraw | Advance | Prepare


@dataclass(frozen=True)
class Wait:
    """Why something did not happen, and what would let it happen."""

    step: str
    subject: str
    reason: str
    lifted_by: str


@dataclass(frozen=True)
class Plan:
    """What to do, in order; what is waited for; and the verdicts both rest on."""

    commit: str
    generation: int
    actions: tuple[Action, ...]
    waits: tuple[Wait, ...]
    verdicts: tuple[Verdict, ...]


def make_plan(fleet: Fleet, world: World, now: datetime) -> Plan:
    """Decide everything. The executor makes no choices."""
    lapses, world = lapse(world, now)
    verdicts, new = judge(fleet, world, now)
    suspensions = {**world.suspensions, **new}
    # The same artifact under another name must not take the place of what is halted now.
    world = replace(world, holds={**world.holds, **_new_holds(fleet, new)})
    prepare, prepare_waits = _prepare(fleet, world, suspensions)
    publish, publish_waits = _publish(fleet, world, suspensions)
    offered = {release.name: release for release in fleet.releases if _is_offered(fleet, release)}
    actions: list[Action] = [*lapses]
    actions += [Suspend(suspension.release, suspension.reason) for suspension in new.values()]
    actions += publish
    reverts, revert_waits = _reverts(fleet, world, offered, suspensions)
    actions += reverts
    actions += [
        Lift(name, "git no longer offers it to any device")
        for name in sorted(world.suspensions)
        if name not in offered and not _is_published(world, name)
    ]
    actions += withdrawals(fleet, world, suspensions)
    steps, advance_waits = advances(fleet, world, suspensions, verdicts, now)
    actions += _one_commit(steps, reverts)
    actions += prepare
    held = [Wait("judge", one.subject, one.reason, one.lifted_by) for one in judge_waits(fleet, world, verdicts, now)]
    waits = [
        *held,
        *_suspended_waits(suspensions),
        *_hold_waits(fleet, world, suspensions),
        *publish_waits,
        *prepare_waits,
        *revert_waits,
        *(Wait("advance", one.subject, one.reason, one.lifted_by) for one in advance_waits),
    ]
    generation = next((step.generation for step in publish), world.published.generation)
    return Plan(fleet.commit or "", generation, tuple(actions), tuple(waits), verdicts)


def _new_holds(fleet: Fleet, new: Mapping[str, Suspension]) -> dict[str, Hold]:
    """By artifact. The executor stores them together with the suspensions."""
    halted = [release for release in fleet.releases if release.name in new]
    return {one.spec.artifact.digest: hold_of(one, new[one.name].reason, fleet.commit or "") for one in halted}


def _one_commit(steps: list[Advance], reverts: list[Revert]) -> list[Advance]:
    """All proposals, and one commit at most: each is made on top of what was declared. Reverts come first."""
    committed = [step for step in steps if step.way == "commit"]
    first = [] if any(revert.way == "commit" for revert in reverts) else committed[:1]
    return [*first, *(step for step in steps if step.way == "pull-request")]


def _reverts(
    fleet: Fleet, world: World, offered: Mapping[str, Release], suspensions: Mapping[str, Suspension]
) -> tuple[list[Revert], list[Wait]]:
    """A commit or a proposal for each release that is suspended for good; none is proposed twice."""
    actions, waits = [], []
    for name, suspension in sorted(suspensions.items()):
        release = offered.get(name)
        if release is None or suspension.until is not None:
            continue
        tier = fleet.tier(release)
        branch = revert_branch(name)
        if tier is None or tier.revert == "commit":
            actions.append(Revert(name, release.path, suspension.reason))
        elif is_proposed(world.proposals, branch):
            said = f"its revert is proposed as {world.proposals[branch].reference}; the suspension holds"
            waits.append(Wait("revert", name, said, "people merge it"))
        else:
            actions.append(Revert(name, release.path, suspension.reason, "pull-request"))
    return actions, waits


def _suspended_waits(suspensions: Mapping[str, Suspension]) -> list[Wait]:
    return [
        Wait("publish", name, f"suspended by {item.by}: {item.reason}", f"{utc_text(item.until)}, or muster resume")
        for name, item in sorted(suspensions.items())
        if item.until is not None
    ]


def _hold_waits(fleet: Fleet, world: World, suspensions: Mapping[str, Suspension]) -> list[Wait]:
    """Releases that git offers, and whose artifact was halted before."""
    return [
        Wait(
            "hold",
            release.name,
            f"its artifact was halted as {world.holds[release.spec.artifact.digest].release}",
            f"a commit after the revert that says `{AGAIN}: {world.holds[release.spec.artifact.digest].release}`",
        )
        for release in fleet.releases
        if release.name not in suspensions and _is_offered(fleet, release) and is_held(world, release)
    ]


def _is_offered(fleet: Fleet, release: Release) -> bool:
    """True if git offers the release to some device, also where a newer release hides it."""
    return any(
        release.model in device_class.spec.models and reaches(release, device_class.metadata.name)
        for device_class in fleet.device_classes
    )


def _is_published(world: World, name: str) -> bool:
    """True if devices can still fetch the release: its suspension must not be forgotten before they cannot."""
    return any(entry.release == name for document in world.published.documents.values() for entry in document.entries)


def _prepare(fleet: Fleet, world: World, suspensions: Mapping[str, Suspension]) -> tuple[list[Prepare], list[Wait]]:
    missing = {
        release.name: release
        for device_class in fleet.device_classes
        for model in device_class.spec.models
        for release in on_offer(fleet, world, suspensions, model, device_class.metadata.name)
        if release.pins not in world.prepared and release.name not in suspensions and not is_held(world, release)
    }
    if fleet.releases and not signs_for(fleet, world.signer):
        reason = "the fleet declares no key under policies/keys that this controller signs with"
        subject = ", ".join(sorted(missing)) or "signing key"
        return [], [Wait("prepare", subject, reason, "the file that `muster keys init` wrote is merged")]
    actions, waits = [], []
    for name, release in sorted(missing.items()):
        if release.pins in world.building:
            waits.append(Wait("prepare", name, "its artifact is being rebuilt and compared", "the build ends"))
        elif release.pins in world.unbuildable:
            reason = world.unbuildable[release.pins]
            waits.append(Wait("prepare", name, reason, "the cause is removed; tried again later"))
        else:
            actions.append(Prepare(name, release.spec.artifact.digest))
    return actions, waits


def signs_for(fleet: Fleet, signer: str | None) -> bool:
    """True if the fleet declares this public key (PEM) for signing artifacts."""
    declared = {key.spec.public_key.strip() for key in fleet.keys_for("artifacts")}
    return signer is not None and signer.strip() in declared


def _publish(fleet: Fleet, world: World, suspensions: Mapping[str, Suspension]) -> tuple[list[Publish], list[Wait]]:
    generation = world.published.generation + 1
    documents = desired_documents(fleet, world, suspensions, generation)
    held = [key for key, document in documents.items() if _would_empty(fleet, world, key, document)]
    waits = [
        Wait(
            "publish",
            f"{model} on {device_class}",
            "none of its releases is prepared, and the class would be left without a model",
            "an artifact of a release that git offers there is prepared",
        )
        for model, device_class in held
    ]
    # Never converge to empty: what is published stays until there is something to put in its place.
    documents |= {key: kept_document(world.published.documents[key], world, suspensions, generation) for key in held}
    # A class that never had a release gets no document; one that had keeps it, with nothing on offer.
    documents = {
        key: document
        for key, document in documents.items()
        if document.entries or document.halted or key in world.published.documents
    }
    changed = tuple(key for key, document in documents.items() if document != world.published.documents.get(key))
    if not documents or (not changed and documents.keys() == world.published.documents.keys()):
        return [], waits
    artifacts = sorted({entry.artifact.digest for document in documents.values() for entry in document.entries})
    return [Publish(generation, documents, changed, tuple(artifacts))], waits


def _would_empty(fleet: Fleet, world: World, key: ModelClass, document: DesiredDocument) -> bool:
    """True if devices had a release and would have none, without the declaration saying so.

    A halt is not emptiness: devices keep what they confirmed. Nor is it if git offers nothing and the class may be
    empty.
    """
    published = world.published.documents.get(key)
    if published is None or not published.entries or document.entries or document.halted:
        return False
    model, name = key
    may_be_empty = any(item.spec.may_be_empty for item in fleet.device_classes if item.metadata.name == name)
    return not may_be_empty or any(reaches(release, name) for release in fleet.releases_of(model, name))

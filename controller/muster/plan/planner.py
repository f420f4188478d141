"""The planner: (declared, world, now) → plan.

Steps, in this order and under these names in code, docs and `muster plan`:

1. judge     guardrails of every release on offer → verdicts; harm suspends the release
2. publish   the desired documents, if they say something else than what is published
3. revert    a commit for every suspended release that git still offers
4. lift      suspensions of releases that git no longer offers
5. prepare   artifacts that a declared release needs and that are not yet built, verified and signed

Preparing comes last because it takes longest: nothing waits for a build but the release that needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from muster.kinds.desired import DesiredDocument
from muster.kinds.fleet import Fleet
from muster.kinds.release import Release
from muster.plan.documents import desired_documents, on_offer
from muster.plan.guardrails import Verdict, judge
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


@dataclass(frozen=True)
class Lift:
    """Forget a suspension: git says the same now."""

    release: str
    reason: str


Action = Suspend | Publish | Revert | Lift | Prepare


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


def release_path(release: Release) -> str:
    """Where a release is declared."""
    return f"releases/{release.model}/{release.version}.yaml"


def make_plan(fleet: Fleet, world: World, now: datetime) -> Plan:
    """Decide everything. The executor makes no choices."""
    verdicts = _judge(fleet, world)
    new = _new_suspensions(verdicts, world, now)
    suspensions = {**world.suspensions, **new}
    prepare, prepare_waits = _prepare(fleet, world, suspensions)
    publish, publish_waits = _publish(fleet, world, suspensions)
    offered = _offered(fleet, suspensions)
    actions: list[Action] = [Suspend(suspension.release, suspension.reason) for suspension in new.values()]
    actions += publish
    actions += [
        Revert(name, release_path(offered[name]), suspension.reason)
        for name, suspension in sorted(suspensions.items())
        if name in offered
    ]
    actions += [
        Lift(name, "git no longer offers it to any device") for name in sorted(world.suspensions) if name not in offered
    ]
    actions += prepare
    waits = [*_judge_waits(verdicts), *publish_waits, *prepare_waits]
    generation = next((step.generation for step in publish), world.published.generation)
    return Plan(fleet.commit or "", generation, tuple(actions), tuple(waits), verdicts)


def _offered(fleet: Fleet, suspensions: Mapping[str, Suspension]) -> dict[str, Release]:
    """Every release that git offers to some device, by name."""
    return {
        release.name: release
        for device_class in fleet.device_classes
        for model in device_class.spec.models
        for release in on_offer(fleet, model, device_class.metadata.name, suspensions)
    }


def _judge(fleet: Fleet, world: World) -> tuple[Verdict, ...]:
    """Judge what is on offer. A release that nothing would replace is judged too: its halt is better than its harm."""
    verdicts = []
    for device_class in fleet.device_classes:
        for model in device_class.spec.models:
            for release in on_offer(fleet, model, device_class.metadata.name, world.suspensions):
                tier = fleet.tier(release)
                exposure = world.observed.exposure(release.name, device_class.metadata.name)
                verdicts += [
                    judge(guardrail, release.name, device_class.metadata.name, exposure)
                    for guardrail in (tier.guardrails if tier else ())
                ]
    return tuple(verdicts)


def _new_suspensions(verdicts: tuple[Verdict, ...], world: World, now: datetime) -> dict[str, Suspension]:
    """The worst class decides: one verdict of harm suspends the release everywhere."""
    harmed: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.outcome == "harm" and verdict.release not in world.suspensions:
            harmed.setdefault(verdict.release, []).append(verdict.reason)
    return {
        release: Suspension(release=release, reason="; ".join(reasons), at=now, by="guardrail")
        for release, reasons in harmed.items()
    }


def _judge_waits(verdicts: tuple[Verdict, ...]) -> list[Wait]:
    return [
        Wait("judge", f"{verdict.release} in {verdict.device_class}", verdict.reason, "reports from more devices")
        for verdict in verdicts
        if verdict.outcome == "undecided"
    ]


def _prepare(fleet: Fleet, world: World, suspensions: Mapping[str, Suspension]) -> tuple[list[Prepare], list[Wait]]:
    missing = {
        name: release
        for name, release in sorted(_offered(fleet, suspensions).items())
        if release.spec.artifact.digest not in world.prepared and name not in suspensions
    }
    if missing and not _signs_for(fleet, world):
        reason = "the fleet declares no key under policies/keys that this controller signs with"
        return [], [Wait("prepare", ", ".join(missing), reason, "the file that `muster keys init` wrote is merged")]
    actions, waits = [], []
    for name, release in missing.items():
        artifact = release.spec.artifact.digest
        if artifact in world.building:
            waits.append(Wait("prepare", name, "its artifact is being rebuilt and compared", "the build ends"))
        elif artifact in world.unbuildable:
            waits.append(Wait("prepare", name, world.unbuildable[artifact], "the cause is removed; tried again later"))
        else:
            actions.append(Prepare(name, artifact))
    return actions, waits


def _signs_for(fleet: Fleet, world: World) -> bool:
    declared = {key.spec.public_key.strip() for key in fleet.signing_keys}
    return world.signer is not None and world.signer.strip() in declared


def _publish(fleet: Fleet, world: World, suspensions: Mapping[str, Suspension]) -> tuple[list[Publish], list[Wait]]:
    generation = world.published.generation + 1
    documents = desired_documents(fleet, world, suspensions, generation)
    held = [key for key, document in documents.items() if _would_empty(world, key, document)]
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
    documents |= {key: world.published.documents[key] for key in held}
    documents = {key: document for key, document in documents.items() if document.entries or document.halted}
    changed = tuple(key for key, document in documents.items() if document != world.published.documents.get(key))
    if not documents or (not changed and documents.keys() == world.published.documents.keys()):
        return [], waits
    artifacts = sorted({entry.artifact.digest for document in documents.values() for entry in document.entries})
    return [Publish(generation, documents, changed, tuple(artifacts))], waits


def _would_empty(world: World, key: ModelClass, document: DesiredDocument) -> bool:
    """True if devices had a release and would have none. A halt is not emptiness: devices keep what they confirmed."""
    published = world.published.documents.get(key)
    return published is not None and bool(published.entries) and not document.entries and not document.halted

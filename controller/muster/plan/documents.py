"""Desired documents, computed from the declaration: O(releases), never O(devices)."""

from __future__ import annotations

from collections.abc import Mapping

from muster.kinds.desired import DesiredDocument, Entry, Halt, OrderedCohort
from muster.kinds.device_class import DeviceClass
from muster.kinds.digest import version_key
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import PPM, parse_duration
from muster.kinds.release import Release
from muster.plan.drifted import rules_of, travels
from muster.plan.world import ModelClass, Published, Suspension, World

# A class whose releases name no tier of the policy cannot pass `check`; this only keeps the function total.
DEFAULT_POLL_INTERVAL = parse_duration("5m")


def desired_documents(
    fleet: Fleet, world: World, suspensions: Mapping[str, Suspension], generation: int
) -> dict[ModelClass, DesiredDocument]:
    """One document per model and device class, as they would stand at `generation`.

    A document that says the same as the published one is returned as it was published, with its older generation.
    """
    documents = {}
    for device_class in fleet.device_classes:
        for model in device_class.spec.models:
            published = world.published.documents.get((model, device_class.metadata.name))
            document = _document(fleet, world, suspensions, device_class, model, generation)
            documents[model, device_class.metadata.name] = (
                published if published and _says_the_same(published, document) else document
            )
    return documents


def reaches(release: Release, device_class: str) -> bool:
    """True if git offers the release to some device of the class, whether or not a newer one hides it."""
    return release.runtime_for(device_class) is not None and release.spec.rollout.reaches_any


def is_held(world: World, release: Release) -> bool:
    """True if the artifact was halted, and no commit since its revert named it anew.

    An older release that is on offer under its own name with the same artifact is not what was halted: it stays. A
    newer one took over what was halted.
    """
    hold = world.holds.get(release.spec.artifact.digest)
    if hold is None:
        return False
    model, _, version = hold.release.partition("/")
    is_older = release.model == model and version_key(release.version) < version_key(version)
    return not is_older or not any(
        entry.release == release.name for document in world.published.documents.values() for entry in document.entries
    )


def is_ready(world: World, release: Release) -> bool:
    """True if the release's artifact can be named: it is prepared, or devices can fetch it already.

    What is published stays so while it is prepared anew (another key, a lost record): that is no reason to send
    devices back.
    """
    if release.spec.artifact.digest in world.damaged or is_held(world, release):
        return False
    return release.pins in world.prepared or any(
        entry.release == release.name and entry.artifact == release.spec.artifact
        for document in world.published.documents.values()
        for entry in document.entries
    )


def on_offer(
    fleet: Fleet, world: World, suspensions: Mapping[str, Suspension], model: str, device_class: str
) -> tuple[Release, ...]:
    """Releases of the model that some device of the class should run, newest first, down to the first that all run.

    What stands below a release that every device takes is never reached, so it is left out; a release that is
    suspended or not ready hides nothing.
    """
    found = []
    for release in fleet.releases_of(model, device_class):
        if not reaches(release, device_class):
            continue
        found.append(release)
        everyone = all(release.spec.rollout.cohorts.get(cohort.metadata.name, 0) == PPM for cohort in fleet.cohorts)
        if everyone and release.name not in suspensions and is_ready(world, release):
            break
    return tuple(found)


def _document(
    fleet: Fleet,
    world: World,
    suspensions: Mapping[str, Suspension],
    device_class: DeviceClass,
    model: str,
    generation: int,
) -> DesiredDocument:
    class_name = device_class.metadata.name
    entries, halted = [], []
    for release in on_offer(fleet, world, suspensions, model, class_name):
        artifact = release.spec.artifact.digest
        if release.name in suspensions:
            halted.append(
                Halt(release=release.name, artifact=artifact, reason=suspensions[release.name].reason[:2_000])
            )
        elif is_ready(world, release):
            entries.append(_entry(fleet, world, release, class_name, generation))
    rules = rules_of(device_class, model, world.named)
    releases = fleet.releases_of(model, class_name)
    intervals = [tier.health.poll_interval for release in releases if (tier := fleet.tier(release))]
    return DesiredDocument(
        model=model,
        device_class=class_name,
        generation=generation,
        commit=fleet.commit or "0" * 40,
        poll_interval=min(intervals, default=DEFAULT_POLL_INTERVAL),
        cohorts=tuple(
            OrderedCohort(name=cohort.metadata.name, selector=cohort.spec.selector) for cohort in fleet.cohorts
        ),
        entries=tuple(entries),
        halted=tuple(halted),
        drift=rules if travels(rules) else None,
        maintenance=device_class.spec.maintenance,
        disruption=device_class.spec.disruption,
        capture=tuple(capture for capture in device_class.spec.capture if capture.model == model),
    )


def _entry(fleet: Fleet, world: World, release: Release, device_class: str, generation: int) -> Entry:
    runtime = release.runtime_for(device_class)
    tier = fleet.tier(release)
    if runtime is None or tier is None:
        raise ValueError(f"{release.name} does not go to {device_class}, or its tier is not in the policy")
    published = world.published.documents.get((release.model, device_class))
    before = next((entry for entry in published.entries if entry.release == release.name), None) if published else None
    return Entry(
        release=release.name,
        version=release.version,
        since=before.since if before and _goes_on(before, release, world) else generation,
        artifact=release.spec.artifact,
        model_hash=release.spec.stages.quantized,
        config_version=release.spec.config_version,
        runtime_version=runtime.version,
        provider=runtime.provider,
        health_window=tier.health.window,
        salt=release.salt,
        ppm={name: ppm for name, ppm in release.spec.rollout.cohorts.items() if ppm},
        log_predictions=release.spec.tier == "regulated",
    )


def _goes_on(before: Entry, release: Release, world: World) -> bool:
    """True if the release has been on offer since, with the same artifact, and no suspension of it ended meanwhile."""
    return before.artifact == release.spec.artifact and before.since > world.resumed.get(release.name, 0)


def kept_document(
    published: DesiredDocument, world: World, suspensions: Mapping[str, Suspension], generation: int
) -> DesiredDocument:
    """What is published, less what must not stay: for a class that has nothing else to go on offer."""
    gone = [entry for entry in published.entries if entry.release in suspensions]
    halted = tuple(
        Halt(release=entry.release, artifact=entry.artifact.digest, reason=suspensions[entry.release].reason[:2_000])
        for entry in gone
    )
    entries = tuple(
        entry for entry in published.entries if entry not in gone and entry.artifact.digest not in world.damaged
    )
    if entries == published.entries:
        return published
    already = tuple(halt for halt in published.halted if halt.release not in {item.release for item in halted})
    return published.model_copy(update={"generation": generation, "entries": entries, "halted": (*already, *halted)})


def _says_the_same(published: DesiredDocument, document: DesiredDocument) -> bool:
    """Equal but for the generation and the commit, which only say when it was written."""
    return published == document.model_copy(update={"generation": published.generation, "commit": published.commit})


def longest_polls(published: Published) -> dict[str, int]:
    """The longest declared pause between two polls of each device class, in milliseconds."""
    polls: dict[str, int] = {}
    for (_, device_class), document in published.documents.items():
        polls[device_class] = max(polls.get(device_class, 0), document.poll_interval // 1_000)
    return polls

"""Looking at one model of a device: its slots, its golden run, and what decides which release comes next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from muster.agent.agent import read_document
from muster.agent.decide import Keep, Return, decide
from muster.agent.diagnosis import Checked, Desired, ModelDiagnosis, Offer, SlotFound, SlotRole
from muster.agent.download import fits_disk
from muster.agent.folder import DeviceFolder, read_bounded
from muster.agent.identity import Identity
from muster.agent.journal import ModelState, Slot
from muster.agent.sessions import read_session
from muster.agent.setbacks import Postponed, StepFailed
from muster.agent.slots import SIGNATURE, Slots
from muster.agent.trusted import TrustedTargets
from muster.artifacts.bundle import LIMITS, MANIFEST
from muster.artifacts.manifest import read_manifest
from muster.attest.artifact_files import files_of_folder
from muster.kinds.desired import DesiredDocument, Entry
from muster.kinds.errors import MusterError
from muster.plan.assignment import bucket, cohort_of, has_failed


@dataclass(frozen=True)
class Fetched:
    """What the server publishes now; without `trusted` it could not be asked."""

    trusted: TrustedTargets | None
    keys: Sequence[str]


@dataclass(frozen=True)
class Looking:
    """What all models of the device share. `free` in bytes; `try_golden` raises `StepFailed` or `Postponed`."""

    folder: DeviceFolder
    identity: Identity
    labels: Mapping[str, str]
    fetched: Fetched
    providers: Sequence[str]
    free: int
    try_golden: Callable[[Path, Slot], None]
    now: datetime


def look_at_model(looking: Looking, name: str, state: ModelState) -> ModelDiagnosis:
    """One model, as the journal, the disk and the server have it."""
    roles: dict[SlotRole, Slot | None] = {
        "trial": state.trial.slot if state.trial else None,
        "confirmed": state.confirmed,
        "previous": state.previous,
    }
    return ModelDiagnosis(
        model=name,
        generation=state.generation,
        running=state.running.entry.release if state.running else None,
        state="trial" if state.trial else "confirmed" if state.confirmed else "empty",
        staging=state.staging.entry.release if state.staging else None,
        staging_step=state.staging.step if state.staging else None,
        waits_until=state.waits_until,
        quarantine=dict(state.quarantine),
        crashes=state.crashes,
        trial_starts=state.trial.starts if state.trial else 0,
        slots=tuple(_look_at_slot(looking, role, slot) for role, slot in roles.items() if slot),
        golden_run=_golden_run(looking, state.running),
        session=read_session(looking.folder, name),
        desired=_desired(looking, name, state),
    )


def _look_at_slot(looking: Looking, role: SlotRole, slot: Slot) -> SlotFound:
    place = Slots(looking.folder).place(slot.artifact)
    present = place.is_dir()
    damaged = _damaged(place, slot) if present else ()
    return SlotFound(
        role=role,
        release=slot.entry.release,
        artifact=slot.artifact,
        model_hash=slot.entry.model_hash,
        config_version=slot.entry.config_version,
        present=present,
        damaged=damaged,
        signature=_signature(looking, slot) if present else Checked(result="skipped", why="no files"),
    )


def _damaged(place: Path, slot: Slot) -> tuple[str, ...]:
    """Files that are not what the manifest pins; the manifest, if it is not what the journal pins."""
    try:
        found = files_of_folder(place)
        if found.get(MANIFEST) != slot.manifest:
            return (MANIFEST,)
        pinned = read_manifest(read_bounded(place / MANIFEST, LIMITS[MANIFEST])).files
    except MusterError:
        return (MANIFEST,)
    wrong = {name for name, file in pinned.items() if found.get(name) != file.digest}
    return tuple(sorted(wrong | (found.keys() - pinned.keys() - {MANIFEST, SIGNATURE})))


def _signature(looking: Looking, slot: Slot) -> Checked:
    if not looking.fetched.keys:
        return Checked(result="skipped", why="the signing keys were not to be had from the server")
    if Slots(looking.folder).again(slot.entry, looking.fetched.keys) == slot:
        return Checked(result="held")
    return Checked(result="failed", code="bad_signature", why="no key of the fleet signed these files for this release")


def _golden_run(looking: Looking, slot: Slot | None) -> Checked:
    if slot is None:
        return Checked(result="skipped", why="nothing runs")
    try:
        looking.try_golden(Slots(looking.folder).place(slot.artifact), slot)
    except (StepFailed, Postponed) as failure:
        return Checked(result="failed", code=failure.error_code, why=failure.message)
    return Checked(result="held")


def _desired(looking: Looking, name: str, state: ModelState) -> Desired | None:
    trusted, identity = looking.fetched.trusted, looking.identity
    if trusted is None:
        return None
    try:
        document = read_document(trusted, name, identity.device_class)
    except Postponed as setback:
        return Desired(
            generation=0, commit="", cohort=None, offers=(), step=setback.message, problem=setback.error_code
        )
    step, problem = _next(state, document, identity.device_id, looking.labels)
    return Desired(
        generation=document.generation,
        commit=document.commit,
        cohort=cohort_of(document.cohorts, looking.labels),
        offers=tuple(_offer(looking, entry, document, state) for entry in document.entries),
        step=step,
        problem=problem,
    )


def _next(
    state: ModelState, document: DesiredDocument, device_id: str, labels: Mapping[str, str]
) -> tuple[str, str | None]:
    """What the agent does next, for people; and its code if it should do more and cannot."""
    if document.generation < state.generation:
        return f"nothing: the device has seen generation {state.generation}", "generation_older"
    step = decide(state, document, device_id, labels)
    match step:
        case Keep(problem):
            return "nothing: it keeps what runs", problem
        case Return(slot):
            return f"returns to {slot.entry.release}, without a download", None
        case _:
            return f"fetches {step.entry.release}, and tries it", None


def _offer(looking: Looking, entry: Entry, document: DesiredDocument, state: ModelState) -> Offer:
    mine = bucket(entry.salt, looking.identity.device_id)
    ppm = entry.ppm.get(cohort_of(document.cohorts, looking.labels) or "", 0)
    return Offer(
        release=entry.release,
        artifact=entry.artifact.digest,
        size=entry.artifact.size,
        bucket=mine,
        ppm=ppm,
        in_share=mine < ppm,
        quarantined=has_failed(entry, state.quarantine),
        halted=entry.artifact.digest in {halt.artifact for halt in document.halted},
        fits_disk=fits_disk(entry.artifact.size, looking.free),
        provider=entry.provider,
        provider_present=entry.provider in looking.providers,
        runtime_version=entry.runtime_version,
        kept=entry.artifact.digest in state.kept,
    )

"""The way of one entry from the offer to a loaded model. Every step is journalled before the next begins.

    offered → downloaded → verified → loaded

A step that was done is not done again after a restart. A step that can end the agent, or fetch much for nothing, is
counted before it is tried; the third time it is given up. Wrong downloads are given up only for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from muster.agent.device import Device
from muster.agent.download import PART, WRONG, fetch, is_complete
from muster.agent.journal import ModelState, Slot, Staging
from muster.agent.loaded import LoadedModel, load_slot
from muster.agent.setbacks import Postponed, StepFailed
from muster.agent.telemetry import Event, Readings
from muster.agent.trusted import Target, TrustedTargets
from muster.attest.model_signature import LARGEST
from muster.kinds.delta import LARGEST_INDEX, DeltaIndex, index_target
from muster.kinds.desired import Entry, artifact_target, signature_target
from muster.kinds.digest import hex_of
from muster.kinds.resource import AsTuple, Declared
from muster.kinds.telemetry import Way

SIGNING_KEYS = "trust/signing-keys.json"
MOST_ATTEMPTS = 3
_KEYS_LIMIT = 256 * 1024
FIRST_PAUSE = 3_600.0
LONGEST_PAUSE = 86_400.0
"""Seconds without another download, after `MOST_ATTEMPTS` that were wrong; twice as many after as many more."""


class _Keys(Declared):
    keys: Annotated[tuple[str, ...], AsTuple, Field(max_length=64)]


def read_signing_keys(trusted: TrustedTargets) -> tuple[str, ...]:
    """The keys that may sign artifacts. Raises `Postponed`: keys_missing, and what `TrustedTargets.read` raises."""
    data = trusted.read(SIGNING_KEYS, _KEYS_LIMIT)
    try:
        return _Keys.model_validate_json(data or b"").keys
    except ValidationError as error:
        raise Postponed("keys_missing", "the server publishes no list of signing keys that can be read") from error


class Promotion:
    """`readings` gives what goes into reports. `admit` and `load` raise `StepFailed`, `Postponed` and `TryAgain`."""

    def __init__(self, device: Device, model: str, readings: Callable[[], Readings], entry: Entry) -> None:
        self._device = device
        self._model = model
        self._readings = readings
        self._entry = entry
        self._artifact = entry.artifact.digest

    def admit(self) -> Slot:
        """Bring the artifact into a slot: downloaded, verified, unpacked."""
        self._wait_if_held_back()
        staging = self._state.staging
        if staging is None or staging.entry.artifact != self._entry.artifact or staging.entry.since < self._entry.since:
            self._save(Staging(entry=self._entry), Event(self._entry, "offered"))
        keys = read_signing_keys(self._device.trusted)
        slots = self._device.slots
        slot = slots.again(self._entry, keys) if slots.has(self._artifact) else None
        if slot is None:
            self._download()
            signature = self._device.trusted.read(signature_target(self._artifact), LARGEST)
            slot = slots.admit(self._entry, signature or b"", keys)
        if self._staging.step != "verified":
            verified = Staging(entry=self._entry, step="verified")
            self._save(verified, Event(self._entry, "verified"))
        return slot

    def load(self, slot: Slot) -> LoadedModel:
        """Open the slot and compare its golden answers."""
        # A model that ends the agent instead of failing leaves nothing but this number.
        if self._staging.attempts >= MOST_ATTEMPTS:
            raise StepFailed("load_crashed", "the agent ended whenever it loaded this artifact")
        place = self._device.slots.place(self._artifact)
        self._device.surroundings.first_load(place, slot)
        self._count_attempt()
        return load_slot(place, slot, self._device.surroundings.runtime)

    def give_up(self, failure: StepFailed) -> None:
        """Quarantine the artifact and report why. Raises `TryAgain`."""
        state = self._state.with_quarantine(self._artifact, self._state.generation)
        state = state.model_copy(update={"staging": None})
        self._device.commit(state, [Event(self._entry, "failed", failure.error_code)], self._readings())

    @property
    def _state(self) -> ModelState:
        return self._device.model_state(self._model)

    @property
    def _staging(self) -> Staging:
        return self._state.staging or Staging(entry=self._entry)

    def _download(self) -> None:
        place = self._device.slots.download(self._artifact)
        transfer: tuple[Way, int] = ("nothing", 0)
        if not is_complete(place, self._artifact):
            target = self._device.trusted.find(artifact_target(self._artifact))
            if target is None:
                raise Postponed("artifact_missing", f"the server does not publish {self._artifact}")
            if (target.sha256, target.length) != (hex_of(self._artifact), self._entry.artifact.size):
                raise StepFailed("bad_digest", "the published target is not the artifact of the desired document")
            transfer = self._from_parts(place) or self._whole(target, place)
        if self._staging.step == "offered":
            downloaded = Staging(entry=self._entry, step="downloaded")
            self._save(downloaded, Event(self._entry, "downloaded", transfer=transfer), downloads=1)

    def _from_parts(self, place: Path) -> tuple[Way, int] | None:
        """None if the artifact must be fetched as a whole. Raises `Postponed` if it may go on where it stopped."""
        try:
            data = self._device.trusted.read(index_target(self._artifact), LARGEST_INDEX)
            index = DeltaIndex.model_validate_json(data) if data is not None else None
        except (Postponed, ValidationError):
            index = None
        if index is None or (index.artifact, index.size) != (self._artifact, self._entry.artifact.size):
            return None
        # Most rounds fetch nothing: what parts need is loaded when it is needed.
        from muster.agent.parts import Around, bring

        state, around, slots = self._state, self._device.surroundings, self._device.slots
        held = [slot.artifact for slot in (state.running, state.confirmed, state.previous) if slot]
        bases = {artifact: slots.place(artifact) for artifact in [*held, self._artifact]}
        found = bring(index, place, Around(self._fetch, bases, around.free_bytes, self._device.folder.disk))
        return (found[0], found[1] + len(data or b"")) if found else None

    def _whole(self, target: Target, place: Path) -> tuple[Way, int]:
        # A part that was written before a loss of power may hold anything: it says nothing against the artifact.
        resumed = place.with_suffix(PART).exists()
        try:
            self._fetch(target, place)
        except Postponed as setback:
            if setback.error_code == WRONG and not resumed:
                self._count_wrong(setback)
            raise
        return "full", target.length

    def _fetch(self, target: Target, place: Path) -> None:
        device = self._device
        fetch(device.sources, target, place, device.surroundings.free_bytes, device.folder.disk)

    def _wait_if_held_back(self) -> None:
        until = self._device.held_back.get(self._artifact)
        if until is None:
            return
        if self._device.steady < until:
            raise Postponed(WRONG, f"{self._entry.release} is fetched again in {until - self._device.steady:.0f} s")
        self._save(self._staging, Event(self._entry, "offered"))
        del self._device.held_back[self._artifact]

    def _count_wrong(self, setback: Postponed) -> None:
        """The artifact is not to blame, for its digest is signed: it is told that none came, and tried again later."""
        self._count_attempt()
        attempts = self._staging.attempts
        if attempts % MOST_ATTEMPTS == 0:
            pause = min(FIRST_PAUSE * 2 ** min(attempts // MOST_ATTEMPTS - 1, 8), LONGEST_PAUSE)
            self._device.hold_back(self._artifact, pause)
            self._device.commit(self._state, [Event(self._entry, "failed", setback.error_code)], self._readings())

    def _count_attempt(self) -> None:
        staging = self._staging
        self._save(staging.model_copy(update={"attempts": staging.attempts + 1}))

    def _save(self, staging: Staging, *events: Event, downloads: int = 0) -> None:
        state = self._state.model_copy(update={"staging": staging})
        self._device.commit(state, events, self._readings(), downloads=downloads)

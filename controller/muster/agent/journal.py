"""The journal: one file that says how far the device came. Whenever the device stops, it goes on from here.

Every change is written beside the journal, forced to disk and renamed over it; the state before stays as a backup. A
digest over the state finds flipped bits, so that a damaged journal is never believed: the backup is, or nothing.

Sequence numbers of reports are reserved in blocks: the journal holds the end of the block, and a restart begins behind
it. After a loss they go on from the date in milliseconds, which no device reaches by counting.
"""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from muster.agent.folder import DeviceFolder, read_bounded
from muster.artifacts.durable import INCOMING, write_durably
from muster.kinds.desired import Entry
from muster.kinds.digest import Digest, Name, digest_of
from muster.kinds.errors import TryAgain, Unusable
from muster.kinds.resource import AsTuple, Declared
from muster.kinds.telemetry import Report, UtcText

VERSION = 1
LIMIT = 8 * 2**20
QUARANTINED = 64
"""Artifacts that a device remembers as failed; the oldest is forgotten first."""

Recovery = Literal["fresh", "whole", "from backup", "lost"]


class Slot(Declared):
    """An artifact that was verified on this device. The manifest's digest pins every file of it."""

    entry: Entry
    manifest: Digest

    @property
    def artifact(self) -> str:
        """Digest of the artifact."""
        return self.entry.artifact.digest


class Trial(Declared):
    """A release that runs but is not confirmed. `starts`: how often the agent was started with it."""

    slot: Slot
    starts: int = 0


class Staging(Declared):
    """A release on its way. `attempts` count what may end the agent or fetch too much, since the last progress."""

    entry: Entry
    step: Literal["offered", "downloaded", "verified"] = "offered"
    attempts: int = 0


class ModelState(Declared):
    """Everything that must survive a restart, for one model."""

    generation: int = 0
    vouched_by: Digest | None = Field(default=None, exclude_if=lambda keys: keys is None)
    """The keys that signed that generation; no generation of others counts as older."""
    confirmed: Slot | None = None
    previous: Slot | None = None
    trial: Trial | None = None
    staging: Staging | None = None
    crashes: int = 0
    """How often the agent ended unasked since what runs was switched in."""
    open: bool = False
    """The agent runs it now; still so at the next start, if it ended unasked."""
    waits_until: UtcText | None = Field(default=None, exclude_if=lambda until: until is None)
    """What is next is switched in then, and not before."""
    quarantine: dict[Digest, int] = Field(default_factory=dict)
    """Artifact → the generation at which it failed here."""

    @property
    def running(self) -> Slot | None:
        """What the device runs: the trial, if there is one."""
        return self.trial.slot if self.trial else self.confirmed

    @property
    def kept(self) -> frozenset[str]:
        """Artifacts whose files must stay."""
        slots = (self.confirmed, self.previous, self.trial.slot if self.trial else None)
        return frozenset({slot.artifact for slot in slots if slot}) | self.staged

    @property
    def staged(self) -> frozenset[str]:
        """The artifact on its way."""
        return frozenset({self.staging.entry.artifact.digest} if self.staging else ())

    def with_quarantine(self, artifact: str, generation: int) -> ModelState:
        """Remember that an artifact failed."""
        quarantine = {digest: at for digest, at in self.quarantine.items() if digest != artifact}
        quarantine = dict(list(quarantine.items())[-QUARANTINED + 1 :])
        return self.model_copy(update={"quarantine": {**quarantine, artifact: generation}})


class Spooled(Declared):
    """A report that the server has not acknowledged. `steady`: it tells of no change, and may be dropped first."""

    report: Report
    steady: bool


class DeviceState(Declared):
    """What the journal holds."""

    models: dict[Name, ModelState] = Field(default_factory=dict)
    reserved: int = 0
    """The highest sequence number that may have been used."""
    downloads: int = 0
    problem: str | None = None
    """Why the last poll brought nothing, for `muster agent status`."""
    outbox: Annotated[tuple[Spooled, ...], AsTuple] = ()


class Journal:
    """The state, in memory and on disk."""

    def __init__(self, folder: DeviceFolder, now: datetime) -> None:
        self._folder = folder
        self.state, self.recovery = read_journal(folder)
        if self.recovery in ("lost", "from backup"):
            beyond = int(now.timestamp() * 1_000)
            self.state = self.state.model_copy(update={"reserved": max(self.state.reserved, beyond)})
        self.unsaved = self.recovery != "whole"
        """The disk says something else that would lead to another outcome after a restart."""
        # A damaged journal must not take the place of the backup that was read in its stead.
        self._worth_a_backup = self.recovery == "whole"

    def save(self, state: DeviceState) -> None:
        """Make `state` the state. Raises `TryAgain` if the disk refuses; the old state then stays."""
        try:
            write_journal(self._folder, state, backup=self._worth_a_backup)
        except TryAgain:
            # It may have been renamed already, and only the folder was not forced to disk.
            self.unsaved = True
            raise
        self.state = state
        self.unsaved = False
        self._worth_a_backup = True

    def adopt(self, state: DeviceState) -> None:
        """Make `state` the state even if the disk refuses; it is then saved as soon as the disk allows."""
        self.state = state
        self.unsaved = True
        with contextlib.suppress(TryAgain):
            self.save(state)

    def hold(self, state: DeviceState) -> None:
        """Make `state` the state in memory only: for what may be lost."""
        self.state = state


def remove_leftovers(folder: DeviceFolder) -> None:
    """Remove temporary files that a write which was cut off left beside the journal. Raises `OSError`."""
    for path in folder.path.glob(f"{INCOMING}*"):
        folder.disk.unlink(path)


def read_journal(folder: DeviceFolder) -> tuple[DeviceState, Recovery]:
    """The state on disk, and how it was found. Raises `Unusable` if a newer agent wrote it."""
    current = _read(folder.journal)
    if current is not None:
        return current, "whole"
    backup = _read(folder.journal_backup)
    if backup is not None:
        return backup, "from backup"
    known = folder.journal.exists() or folder.journal_backup.exists() or folder.tuf.exists()
    return DeviceState(), "lost" if known else "fresh"


def write_journal(folder: DeviceFolder, state: DeviceState, *, backup: bool = True) -> None:
    """Replace the journal; what stood there becomes the backup, if it is worth one. Raises `TryAgain`."""
    value = state.model_dump(mode="json")
    envelope = {"version": VERSION, "digest": digest_of(_text(value)), "state": value}
    if backup:
        _keep_backup(folder)
    write_durably(folder.journal, _text(envelope) + b"\n", disk=folder.disk)


def _keep_backup(folder: DeviceFolder) -> None:
    """A second name for the journal: its bytes are on disk already, and the journal itself is never absent."""
    disk, link = folder.disk, folder.path / ".journal.1"
    try:
        disk.unlink(link)
        disk.link(folder.journal, link)
        disk.rename(link, folder.journal_backup)
    except FileNotFoundError:
        return
    except OSError:
        # File systems without links: two writes instead. What cannot be read is worth no backup.
        with contextlib.suppress(Unusable):
            write_durably(folder.journal_backup, read_bounded(folder.journal, LIMIT), disk=disk)


def _read(path: Path) -> DeviceState | None:
    try:
        value = json.loads(read_bounded(path, LIMIT))
        version, digest, state = value["version"], value["digest"], value["state"]
        if digest != digest_of(_text(state)):
            return None
    except (Unusable, ValueError, TypeError, KeyError, RecursionError):
        return None
    if version != VERSION:
        raise Unusable(f"{path} was written by another version of the agent", "install the agent that wrote it")
    try:
        return DeviceState.model_validate_json(_text(state))
    except ValidationError:
        return None


def _text(value: Any) -> bytes:
    """Floats are fine here: the same program reads them back."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

"""What all models of one device share: journal, slots, server, and the numbering of reports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from muster.agent.folder import DeviceFolder
from muster.agent.identity import (
    Identity,
    read_identity,
    read_root,
    read_secret,
    read_set_labels,
    write_set_labels,
)
from muster.agent.journal import DeviceState, Journal, ModelState, Slot
from muster.agent.moment import Moment
from muster.agent.rotation import rotate
from muster.agent.runtime import Runtime
from muster.agent.server import Server
from muster.agent.slots import Slots
from muster.agent.sources import Sources
from muster.agent.telemetry import Event, Readings, make_report, spool
from muster.agent.trusted import TrustedTargets
from muster.agent.vitals import Thermal, os_version, peak_ram_mb, thermal_state
from muster.agent.waiting import zone_of
from muster.kinds.enrolment import effective

BLOCK = 64
"""Sequence numbers reserved at once: that many reports need no write to the disk."""


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _loads_at_once(_place: Path, _slot: Slot) -> None:
    """Without a process to try it in, the agent's own load is the first."""


@dataclass(frozen=True)
class Surroundings:
    """The world, as the agent reaches it. Everything in here can be another in a test. `mirrors` by their URL."""

    server: Server
    runtime: Runtime
    mirrors: Mapping[str, Server] = field(default_factory=dict)
    free_bytes: Callable[[Path], int] = _free_bytes
    peak_ram_mb: Callable[[], float] = peak_ram_mb
    thermal_state: Callable[[], Thermal] = thermal_state
    os_version: Callable[[], str | None] = os_version
    first_load: Callable[[Path, Slot], None] = _loads_at_once


class Device:
    """One device's folder, opened. Raises `Unusable`, `Refused` if it holds no device that was enrolled."""

    def __init__(self, folder: DeviceFolder, surroundings: Surroundings, now: Moment) -> None:
        self.folder = folder
        self.surroundings = surroundings
        self.identity: Identity = read_identity(folder)
        self.zone = zone_of(self.identity.time_zone)
        self.secret = read_secret(folder)
        self._set_labels = read_set_labels(folder)
        self.steady = now.steady
        """When the round began, in seconds of the steady clock."""
        self.held_back: dict[str, float] = {}
        """Artifacts whose downloads were wrong again and again, and when the next one may be tried."""
        self.sources = Sources(surroundings.server, surroundings.mirrors, self.identity.device_id, lambda: self.steady)
        self.trusted = TrustedTargets(folder, self.sources, read_root(folder.root))
        self.slots = Slots(folder)
        self.journal = Journal(folder, now.wall)
        self._sequence = self.journal.state.reserved

    @property
    def state(self) -> DeviceState:
        """What the journal holds."""
        return self.journal.state

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels that count: what people set, before what the device was enrolled with."""
        return effective(self.identity.labels, self._set_labels)

    def take_labels(self, given: Mapping[str, str]) -> None:
        """Keep what people set. Raises `TryAgain`; then what was set before still counts."""
        if dict(given) != self._set_labels:
            write_set_labels(self.folder, given)
            self._set_labels = dict(given)

    def hold_back(self, artifact: str, pause: float) -> None:
        """Fetch no artifact of that digest for `pause` seconds."""
        still = {other: until for other, until in self.held_back.items() if until > self.steady}
        self.held_back = {**still, artifact: self.steady + pause}

    def rotate_secret(self) -> None:
        """Take another secret. Raises `MusterError`; then the old one holds on."""
        self.secret = rotate(self.folder, self.surroundings.server, self.identity.device_id, self.secret)

    @property
    def sequence(self) -> int:
        """The number of the newest report."""
        return self._sequence

    def model_state(self, model: str) -> ModelState:
        """The journal's part about one model."""
        return self.state.models.get(model, ModelState())

    def commit(
        self,
        state: ModelState,
        events: Sequence[Event],
        readings: Readings,
        *,
        downloads: int = 0,
        whatever_the_disk_says: bool = False,
    ) -> None:
        """Make a model's state and the reports about it durable, together.

        Raises `TryAgain` if the disk refuses, and nothing has changed; unless it must count all the same.
        """
        changed = self.state.model_copy(
            update={
                "models": {**self.state.models, readings.model: state},
                "downloads": self.state.downloads + downloads,
            }
        )
        changed = self._with_reports(changed, events, replace(readings, downloads=changed.downloads))
        if whatever_the_disk_says:
            self.journal.adopt(changed)
        else:
            self.journal.save(changed)

    def report(self, event: Event, readings: Readings) -> None:
        """Put a steady report into the spool.

        It tells also of a disk that reserves no numbers: used again after a restart, the server says so (`renumber`).
        """
        changed = self._with_reports(self.state, [event], readings)
        if changed.reserved > self.state.reserved:
            self.journal.adopt(changed)
        else:
            self.journal.hold(changed)

    def renumber(self, beyond: int) -> None:
        """Number what waits anew, above what the server has: below, it would take every report for an old one."""
        outbox = []
        self._sequence = max(self._sequence, beyond)
        for spooled in self.state.outbox:
            self._sequence += 1
            report = spooled.report.model_copy(update={"sequence": self._sequence})
            outbox.append(spooled.model_copy(update={"report": report}))
        reserved = self._sequence + BLOCK
        self.journal.adopt(self.state.model_copy(update={"outbox": tuple(outbox), "reserved": reserved}))

    def note(self, problem: str | None) -> None:
        """Remember why the last poll brought nothing. Raises `TryAgain`."""
        if problem != self.state.problem:
            self.journal.save(self.state.model_copy(update={"problem": problem}))

    def _with_reports(self, state: DeviceState, events: Sequence[Event], readings: Readings) -> DeviceState:
        new = []
        for event in events:
            # A number is used up even if its report is never saved: a gap does no harm, a number used twice does.
            self._sequence += 1
            new.append(make_report(self.identity, self.surroundings.runtime.version, self._sequence, event, readings))
        reserved = state.reserved if self._sequence <= state.reserved else self._sequence + BLOCK
        return state.model_copy(update={"outbox": spool(state.outbox, new), "reserved": reserved})

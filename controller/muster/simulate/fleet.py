"""Simulated devices: they take what the documents offer them, try it, and confirm or leave it.

Tests change a fleet by plain assignment (`device.online = False`) and can print it (`describe`). Time is a number of
polls; nothing here sleeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from muster.kinds.desired import DesiredDocument, Entry
from muster.kinds.digest import version_key
from muster.kinds.phases import Phase
from muster.plan.assignment import choose
from muster.plan.exposures import exposures
from muster.plan.tallies import Cell, Standing, cells_of
from muster.plan.world import ModelClass, Observed

Fault = Callable[["SimulatedDevice", Entry], str | None]
"""The error code with which a device fails a release, or None."""


def no_fault(_device: SimulatedDevice, _entry: Entry) -> str | None:
    """Every release works everywhere."""
    return None


@dataclass
class SimulatedDevice:
    """One device and one model."""

    device_id: str
    device_class: str
    labels: Mapping[str, str] = field(default_factory=dict)
    online: bool = True
    confirmed: Entry | None = None
    trial: Entry | None = None
    outcomes: dict[str, tuple[Phase, str | None]] = field(default_factory=dict)
    entered: dict[str, int] = field(default_factory=dict)
    """Release → generation of the document with which the device came to it."""
    heard: int = 0
    """Generation of the newest document that it looked at."""
    quarantine: dict[str, int] = field(default_factory=dict)

    @property
    def running(self) -> str | None:
        """The release that answers now."""
        entry = self.trial or self.confirmed
        return entry.release if entry else None

    def poll(self, document: DesiredDocument, fault: Fault) -> None:
        """One look at the document: at most one phase further."""
        desired = choose(document, self.device_id, self.labels)
        self.heard = document.generation
        if self.trial and (desired is None or desired.release != self.trial.release):
            self._recall(self.trial)
            self.trial = None
        if self.trial:
            self._finish(self.trial, fault)
        elif desired and not self._runs(desired) and self.quarantine.get(desired.artifact.digest, 0) < desired.since:
            self._begin(desired)
        elif desired and self._runs(desired):
            self.outcomes[desired.release] = ("healthy", None)

    def standings(self) -> list[Standing]:
        """What its reports say of each release that it came to."""
        return [
            Standing(
                release=release,
                device_class=self.device_class,
                stratum="",
                entered=self.entered.get(release, self.heard),
                generation=self.heard,
                left=release != self.running,
                phase=phase,
                error_code=code,
            )
            for release, (phase, code) in self.outcomes.items()
        ]

    def _begin(self, desired: Entry) -> None:
        if self.confirmed and version_key(desired.version) < version_key(self.confirmed.version):
            self._recall(self.confirmed)
        self.trial = desired
        self.outcomes[desired.release] = ("activated", None)
        self.entered[desired.release] = self.heard

    def _finish(self, trial: Entry, fault: Fault) -> None:
        code = fault(self, trial)
        if code:
            self.quarantine[trial.artifact.digest] = trial.since
            self.outcomes[trial.release] = ("rolled-back", code)
        else:
            self.confirmed = trial
            self.outcomes[trial.release] = ("confirmed", None)
        self.trial = None

    def _recall(self, entry: Entry) -> None:
        self.outcomes[entry.release] = ("rolled-back", None)

    def _runs(self, entry: Entry) -> bool:
        return self.confirmed is not None and self.confirmed.artifact == entry.artifact


@dataclass
class SimulatedFleet:
    """Devices of one model."""

    model: str
    devices: list[SimulatedDevice]
    fault: Fault = no_fault

    def poll(self, documents: Mapping[ModelClass, DesiredDocument]) -> None:
        """Every device that is online looks once."""
        for device in self.devices:
            document = documents.get((self.model, device.device_class))
            if device.online and document:
                device.poll(document, self.fault)

    def observed(self) -> Observed:
        """What these devices would have reported, as the planner sees it."""
        tally: Counter[Cell] = Counter()
        for device in self.devices:
            for standing in device.standings():
                tally.update(cells_of(standing, ()))
        return Observed(exposures(tally, {}), dict(tally))

    def describe(self) -> str:
        """How many devices of each class run what, one line a class."""
        classes = sorted({device.device_class for device in self.devices})
        lines = []
        for device_class in classes:
            runs = Counter(d.running or "nothing" for d in self.devices if d.device_class == device_class)
            lines.append(f"{device_class}: " + ", ".join(f"{name} ×{count}" for name, count in sorted(runs.items())))
        return "\n".join(lines)

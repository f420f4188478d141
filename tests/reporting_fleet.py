"""Simulated devices before a real controller: they poll what it published, and their reports go into its storage.

A device reports whenever something changed, and once in `PAUSE` at the least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controllers import SECRET
from fleets import MODEL
from muster.daemon import Controller
from muster.kinds.release import Release
from muster.kinds.telemetry import Report
from muster.observe.inventory import Enrolment, enrol
from muster.observe.reports import take_reports
from muster.observe.storage import writing
from muster.simulate.fleet import SimulatedDevice, SimulatedFleet

PAUSE = timedelta(minutes=2)


@dataclass
class ReportingFleet:
    """`releases` by name, for the digests that a device reports."""

    fleet: SimulatedFleet
    releases: Mapping[str, Release]
    sequences: dict[str, int] = field(default_factory=dict)
    reported: dict[str, datetime] = field(default_factory=dict)

    def poll(self, controller: Controller, now: datetime) -> None:
        """Every device that is on line looks once, and says how far it came."""
        before = {device.device_id: dict(device.outcomes) for device in self.fleet.devices}
        self.fleet.poll(controller.publisher.published().documents)
        with writing(controller.engine) as connection:
            for device in self.fleet.devices:
                name = device.device_id
                last = self.reported.get(name)
                if not device.online or (last and now - last < PAUSE and before[name] == device.outcomes):
                    continue
                if last is None:
                    enrol(connection, _enrolment(device), now)
                take_reports(connection, name, self._reports(device, before[name]), now)
                self.reported[name] = now

    def _reports(self, device: SimulatedDevice, before: Mapping[str, object]) -> list[Report]:
        """What became of a release that it left, and how it does with the one that runs."""
        left = [name for name, said in device.outcomes.items() if name != device.running and before.get(name) != said]
        return [self._report(device, name) for name in [*left, device.running]]

    def _report(self, device: SimulatedDevice, name: str | None) -> Report:
        self.sequences[device.device_id] = self.sequences.get(device.device_id, 0) + 1
        phase, code = device.outcomes[name] if name else (None, None)
        runs = self.releases.get(device.running or "")
        return Report(
            device_id=device.device_id,
            sequence=self.sequences[device.device_id],
            model=MODEL,
            device_class=device.device_class,
            generation=device.heard,
            release=name,
            phase=phase,
            error_code="recalled" if phase == "rolled-back" and code is None else code,
            model_hash=runs.spec.stages.quantized if runs else None,
            config_version=runs.spec.config_version if runs else None,
            runtime_version="1.31.1",
            os_version="12",
        )


def _enrolment(device: SimulatedDevice) -> Enrolment:
    return Enrolment(
        device_id=device.device_id,
        device_class=device.device_class,
        labels=dict(device.labels),
        models=[MODEL],
        token="t",
        secret=SECRET,
    )

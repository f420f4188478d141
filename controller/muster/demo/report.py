"""What the demo observed, as data and as text. Every figure comes from the ledger, from git or from devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from muster.demo.detection import Detection
from muster.plan.describe import as_json


@dataclass(frozen=True)
class Promotion:
    """One commit on its way: committed → published → first device → all devices that it reaches."""

    subject: str
    commit: str
    committed: datetime
    published: datetime
    first_device: datetime
    all_devices: datetime
    devices: int
    """Devices that run the release afterwards."""


@dataclass(frozen=True)
class Halt:
    """The field failure: committed → first failure → harm decided → suspended → reverted → last device recovered."""

    release: str
    committed: datetime
    published: datetime
    first_failure: datetime
    detection: Detection
    suspended: datetime
    reverted: datetime
    recovered: datetime
    revert_commit: str
    reason: str
    fetched_by: Sequence[str]
    """Devices that downloaded the release."""
    tried: int
    """Devices that activated the release, or failed to."""
    harmed: int
    """Devices on which it failed; they returned by themselves."""
    recalled: int
    """Devices on which it worked, and which were called back."""
    downloads_to_recover: int


@dataclass(frozen=True)
class Check:
    """One thing that had to be observed."""

    what: str
    holds: bool
    seen: str


@dataclass(frozen=True)
class Report:
    """The whole demo."""

    devices: int
    classes: Sequence[str]
    seconds: float
    kills: int
    promotions: Sequence[Promotion]
    halt: Halt
    commits: Sequence[str]
    final: dict[str, dict[str, int]]
    """Device class → release → devices that run it."""
    checks: Sequence[Check] = field(default_factory=tuple)

    @property
    def holds(self) -> bool:
        """True if all of it was observed."""
        return bool(self.checks) and all(check.holds for check in self.checks)

    def as_data(self) -> dict[str, Any]:
        """For `-o json`."""
        return {"holds": self.holds, **as_json(self)}

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.devices} devices in {len(self.classes)} classes, {self.seconds:.0f} s",
            *_section("Timeline (seconds after the commit)", [_promotion_line(item) for item in self.promotions]),
            *_section(f"Field failure of {self.halt.release} (seconds after its commit)", self._halt_lines()),
            *_section("Commits, newest first", self.commits),
            *_section("Devices run", [_running_line(name, runs) for name, runs in sorted(self.final.items())]),
            *_section("Checks", [_check_line(check) for check in self.checks]),
            *([f"\nThe daemon was killed {self.kills} times at random moments (SIGKILL)."] if self.kills else []),
        ]

    def _halt_lines(self) -> list[str]:
        halt = self.halt
        moments = {
            "published": halt.published,
            "first failure": halt.first_failure,
            "detected": halt.detection.at,
            "suspended": halt.suspended,
            "reverted": halt.reverted,
            "last device recovered": halt.recovered,
        }
        return [
            "  ".join(f"{name} {_after(halt.committed, moment)}" for name, moment in moments.items()),
            *halt.detection.lines(),
            f"why: {halt.reason}",
            f"devices harmed: {halt.harmed} of {self.devices}; it ran on {halt.tried}, {halt.recalled} were recalled",
            f"downloads to recover: {halt.downloads_to_recover}",
        ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {line}" for line in lines)]


def _promotion_line(item: Promotion) -> str:
    moments = {"published": item.published, "first device": item.first_device, "all devices": item.all_devices}
    times = "  ".join(f"{name} {_after(item.committed, moment)}" for name, moment in moments.items())
    return f"{item.subject:<34} {times}  ({item.devices} run it)"


def _running_line(device_class: str, runs: dict[str, int]) -> str:
    return f"{device_class}: " + ", ".join(f"{release} ×{count}" for release, count in sorted(runs.items()))


def _check_line(check: Check) -> str:
    return f"{'ok  ' if check.holds else 'FAIL'} {check.what}: {check.seen}"


def _after(start: datetime, moment: datetime) -> str:
    return f"+{(moment - start).total_seconds():.1f}"

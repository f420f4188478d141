"""Reports under the fixed keys, and the spool in which they wait for the server.

The spool is bounded: what tells of no change is dropped first, changes of phase last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from muster.agent.application import ApplicationFigures
from muster.agent.identity import Identity
from muster.agent.journal import Spooled
from muster.agent.loaded import LoadedModel
from muster.agent.sessions import Session
from muster.agent.statistics import Figures
from muster.agent.vitals import Thermal
from muster.kinds.desired import Entry
from muster.kinds.phases import Phase
from muster.kinds.telemetry import Report, Way

SPOOL = 256
_LONGEST_MS = 86_400_000.0


@dataclass(frozen=True)
class Event:
    """How far the device came with an entry. `steady`: nothing changed. Without an entry: nothing is on the device.

    `transfer`: how what was downloaded came, and in how many bytes.
    """

    entry: Entry | None
    phase: Phase | None
    error_code: str | None = None
    steady: bool = False
    transfer: tuple[Way, int] | None = None


@dataclass(frozen=True)
class Readings:
    """What was read off the device for one report; `running` is what answers frames, `generation` what it follows.

    With `session`, an application answers them, and its session is what is reported in place of `running`.
    """

    model: str
    generation: int
    running: LoadedModel | None
    figures: Figures
    inferences: int
    dropped_frames: int
    downloads: int
    peak_ram_mb: float
    thermal_state: Thermal
    os_version: str | None = None
    crashes: int | None = None
    application: ApplicationFigures | None = None
    waits_until: str | None = None
    session: Session | None = None

    @property
    def runs(self) -> Runs | None:
        """What answers."""
        if self.session is not None:
            told = self.session.loaded
            return Runs(told.model_hash, told.config_version, told.delegate, told.load_time_ms) if told else None
        mine = self.running
        if mine is None:
            return None
        return Runs(mine.model_hash, mine.config_version, mine.session.delegate, mine.load_time_ms)


@dataclass(frozen=True)
class Runs:
    """A session: the digests of the bytes that it loaded, the provider that computes, and how long the load took."""

    model_hash: str
    config_version: str
    delegate: str
    load_time_ms: float


def make_report(identity: Identity, runtime_version: str, sequence: int, event: Event, readings: Readings) -> Spooled:
    """The report of one event."""
    running, figures = readings.runs, readings.figures
    told = readings.application if running else None
    if told is not None and running is not None and told.model_hash != running.model_hash:
        told = None
    report = Report(
        device_id=identity.device_id,
        sequence=sequence,
        model=readings.model,
        device_class=identity.device_class,
        generation=readings.generation,
        release=event.entry.release if event.entry else None,
        phase=event.phase,
        error_code=event.error_code,
        model_hash=running.model_hash if running else None,
        config_version=running.config_version if running else None,
        runtime_version=readings.session.runtime_version if readings.session else runtime_version,
        delegate_active=running.delegate[:64] if running else None,
        load_time_ms=_milliseconds(running.load_time_ms if running else None),
        p50_ms=_milliseconds(figures.p50_ms),
        p95_ms=_milliseconds(figures.p95_ms),
        peak_ram_mb=round(readings.peak_ram_mb, 3),
        dropped_frames=readings.dropped_frames,
        thermal_state=readings.thermal_state,
        inferences=readings.inferences,
        confident_ppm=figures.recent_confident_ppm,
        downloads=readings.downloads,
        os_version=readings.os_version,
        crashes=readings.crashes,
        confidence_histogram=figures.confidence_histogram,
        fallback_ppm=told.fallback_ppm if told else None,
        accepted=told.accepted if told else None,
        corrected=told.corrected if told else None,
        values=told.values if told else {},
        waits_until=readings.waits_until,
        transfer=event.transfer[0] if event.transfer else None,
        transferred=event.transfer[1] if event.transfer else None,
    )
    return Spooled(report=report, steady=event.steady)


def spool(waiting: tuple[Spooled, ...], new: Iterable[Spooled]) -> tuple[Spooled, ...]:
    """`waiting` and `new`, in order, without what is too much."""
    outbox = [*waiting, *new]
    while len(outbox) > SPOOL:
        oldest_steady = next((place for place, spooled in enumerate(outbox) if spooled.steady), 0)
        del outbox[oldest_steady]
    return tuple(outbox)


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else round(min(value, _LONGEST_MS), 4)

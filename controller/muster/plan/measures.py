"""What a report says of the release that runs, as buckets: one whole number for each reading that it has.

Only a report about the model that it names says something: `is_about` compares what runs with the release's pins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from muster.kinds.phases import RUNNING
from muster.kinds.ppm import PPM
from muster.kinds.telemetry import Report
from muster.plan.buckets import bucket_of, level_of

_TENTHS: Final = 10


def is_about(report: Report, pins: Mapping[str, str]) -> bool:
    """True if the figures of the report are those of the release that it names."""
    runs = (report.model_hash, report.config_version)
    return report.phase in RUNNING and None not in runs and runs == (pins.get("model_hash"), pins.get("config_version"))


def measures_of(report: Report, provider: str | None, keys: Mapping[str, str]) -> dict[str, int]:
    """Reading → bucket. `provider` is the declared one; `keys` are the declared numeric keys with their scale."""
    found = {reading: bucket for reading, read in READERS.items() if (bucket := read(report)) is not None}
    if provider is not None and report.delegate_active is not None:
        found["delegate-inactive"] = int(report.delegate_active != provider)
    for name, value in report.values.items():
        if name in keys:
            found[f"value/{name}"] = _scaled(value, keys[name])
    return found


def _scaled(value: float, scale: str) -> int:
    return level_of(value) if scale == "share" else bucket_of(value)


def _crashed(report: Report) -> int | None:
    return None if report.crashes is None else int(report.crashes > 0)


def _hot(report: Report) -> int | None:
    return None if report.thermal_state == "unknown" else int(report.thermal_state in ("serious", "critical"))


def _microseconds(milliseconds: float | None) -> int | None:
    return None if milliseconds is None else bucket_of(milliseconds * 1_000)


def _bytes(megabytes: float | None) -> int | None:
    return None if megabytes is None else bucket_of(megabytes * 2**20)


def _dropped(report: Report) -> int | None:
    return _ratio(report.dropped_frames, report.dropped_frames + report.inferences)


def _ratio(part: int, whole: int) -> int | None:
    return level_of(part / whole) if whole else None


def _share(ppm: int | None) -> int | None:
    return None if ppm is None else level_of(ppm / PPM)


def _confidence(report: Report) -> int | None:
    """The mean, each answer at the middle of its tenth."""
    histogram = report.confidence_histogram or ()
    middles = sum(count * (2 * tenth + 1) for tenth, count in enumerate(histogram))
    return _ratio(middles, sum(histogram) * 2 * _TENTHS)


def _corrected(report: Report) -> int | None:
    if report.accepted is None or report.corrected is None:
        return None
    return _ratio(report.corrected, report.accepted + report.corrected)


READERS: Final[Mapping[str, Callable[[Report], int | None]]] = MappingProxyType({
    "crash-share": _crashed,
    "thermal-state": _hot,
    "p95-latency": lambda report: _microseconds(report.p95_ms),
    "load-time": lambda report: _microseconds(report.load_time_ms),
    "peak-ram": lambda report: _bytes(report.peak_ram_mb),
    "dropped-frames": _dropped,
    "confidence": _confidence,
    "confident-share": lambda report: _share(report.confident_ppm),
    "fallback-frequency": lambda report: _share(report.fallback_ppm),
    "correction-share": _corrected,
})  # fmt: skip

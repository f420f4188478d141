"""What a report says of the release that runs, as buckets: one whole number for each reading that it has.

Only a report about the model that it names says something: `is_about` compares what runs with the release's pins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

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
    found = {}
    said = vars(report)
    for reading, field, read in _READERS:
        value = said[field]
        if value is not None and (bucket := read(value, report)) is not None:
            found[reading] = bucket
    if provider is not None and report.delegate_active is not None:
        found["delegate-inactive"] = int(report.delegate_active != provider)
    for name, value in report.values.items():
        if name in keys:
            found[f"value/{name}"] = _scaled(value, keys[name])
    return found


def _scaled(value: float, scale: str) -> int:
    return level_of(value) if scale == "share" else bucket_of(value)


def _microseconds(milliseconds: float) -> int:
    return bucket_of(milliseconds * 1_000)


def _bytes(megabytes: float) -> int:
    return bucket_of(megabytes * 2**20)


def _ratio(part: int, whole: int) -> int | None:
    return level_of(part / whole) if whole else None


def _share(ppm: int) -> int:
    return level_of(ppm / PPM)


def _confidence(histogram: Sequence[int]) -> int | None:
    """The mean, each answer at the middle of its tenth."""
    middles = sum(count * (2 * tenth + 1) for tenth, count in enumerate(histogram))
    return _ratio(middles, sum(histogram) * 2 * _TENTHS)


_Reader = Callable[[Any, Report], int | None]

READERS: Final[Mapping[str, tuple[str, _Reader]]] = MappingProxyType({
    "crash-share": ("crashes", lambda crashes, _: int(crashes > 0)),
    "thermal-state": (
        "thermal_state", lambda state, _: None if state == "unknown" else int(state in ("serious", "critical"))
    ),
    "p95-latency": ("p95_ms", lambda ms, _: _microseconds(ms)),
    "load-time": ("load_time_ms", lambda ms, _: _microseconds(ms)),
    "peak-ram": ("peak_ram_mb", lambda mb, _: _bytes(mb)),
    "dropped-frames": ("dropped_frames", lambda dropped, report: _ratio(dropped, dropped + report.inferences)),
    "confidence": ("confidence_histogram", lambda histogram, _: _confidence(histogram)),
    "confident-share": ("confident_ppm", lambda ppm, _: _share(ppm)),
    "fallback-frequency": ("fallback_ppm", lambda ppm, _: _share(ppm)),
    "correction-share": (
        "corrected",
        lambda corrected, report: None if report.accepted is None else _ratio(corrected, report.accepted + corrected),
    ),
})  # fmt: skip
"""Reading → the field that a report must have for it, and the bucket of that field's value."""
_READERS: Final = tuple((reading, *reader) for reading, reader in READERS.items())

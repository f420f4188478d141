"""Figures: what believed evidence says about an artifact in numbers, one figure for each question.

Where several files answer one question, what was measured closest to the device does, then the newest;
what a file holds beyond its kind is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from muster.kinds.evidence import MEASUREMENT, REBUILD, Evidence, Measurement, Rebuild, Result, Where

UNITS: Final = {
    "p50-latency": "µs",
    "p95-latency": "µs",
    "p99-latency": "µs",
    "cold-latency": "µs",
    "load-time": "µs",
    "soak": "µs",
    "peak-ram": "bytes",
    "artifact-size": "bytes",
    "package-size": "bytes",
}
"""Units of the metrics that have one; the others are shares or counts."""

_HOUR: Final = 3_600_000_000
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_Kind = TypeVar("_Kind", bound=BaseModel)


@dataclass(frozen=True)
class Figure:
    """One number, and the file that says it."""

    result: Result
    path: str
    measured_at: str
    where: Where | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What is asked: metric, device class and slice, "" where there is none."""
        return self.result.metric, self.result.device_class or "", self.result.slice or ""

    def described(self) -> dict[str, Any]:
        """As JSON, numbers as decimal strings."""
        return {
            **self.result.model_dump(mode="json", by_alias=True, exclude_none=True),
            **({"unit": UNITS[self.result.metric]} if self.result.metric in UNITS else {}),
            **({"where": self.where} if self.where else {}),
            "evidence": self.path,
            "measuredAt": self.measured_at,
        }


def figures_of(evidence: Iterable[Evidence]) -> tuple[Figure, ...]:
    """The figures of believed measurements, by device class, metric and slice."""
    newest: dict[tuple[str, str, str], Figure] = {}
    for item in sorted(evidence, key=lambda item: (item.made_at or _LONG_AGO, item.path)):
        for figure in _figures(item):
            known = newest.get(figure.key)
            if known is None or _closeness(figure) >= _closeness(known):
                newest[figure.key] = figure
    return tuple(sorted(newest.values(), key=lambda figure: (figure.key[1], figure.key[0], figure.key[2])))


def _closeness(figure: Figure) -> int:
    """A device of the class says more than its emulated CPU, and that more than any other machine."""
    return ("native", "emulated", "reference-device").index(figure.where or "native")


def soak_hours(figure: Figure) -> str:
    """A soak in hours, as a decimal string."""
    return f"{(figure.result.value / _HOUR).quantize(figure.result.value.__class__('0.0001')).normalize():f}"


def measurement_of(evidence: Evidence) -> Measurement | None:
    """What a believed measurement says; None for other evidence, and for one of another shape."""
    return _parsed(evidence, MEASUREMENT, Measurement)


def rebuild_of(evidence: Evidence) -> Rebuild | None:
    """What a believed rebuild says; None for other evidence, and for one of another shape."""
    return _parsed(evidence, REBUILD, Rebuild)


def _figures(item: Evidence) -> Iterator[Figure]:
    measured = measurement_of(item)
    for result in measured.results if measured else ():
        yield Figure(result, item.path, measured.measured_at if measured else "", measured.where if measured else None)


def _parsed(evidence: Evidence, predicate_type: str, kind: type[_Kind]) -> _Kind | None:
    if evidence.problem is not None or evidence.predicate_type != predicate_type:
        return None
    try:
        return kind.model_validate_json(json.dumps(evidence.predicate))
    except (ValidationError, ValueError):
        return None

"""The devices as arrays: what each one is, and when it is on line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from muster.kinds.ppm import PPM
from muster.kinds.scenario import Population, ScenarioSpec
from muster.simulate.scenario.assignment import buckets
from muster.simulate.scenario.draws import Indices, uniform

MICROSECONDS = 1_000_000
_HOUR = 3_600
_EVENING = 18 * _HOUR
_SPREAD = 2 * _HOUR
"""An evening begins at six, or within two hours after it."""

_STREAMS = ("class", "habit", "link", "zone", "canary", "slice", "clock", "window", "phase", "ahead", "latency")
CHUNK = 1_000_000


@dataclass
class Devices:
    """Every device, and the cell that it is counted in. About 25 bytes a device, and 4 for each salt.

    start, length   its window on line within its period, in seconds of UTC; length 0: never
    ahead           its clock is so far ahead that it takes no metadata for valid
    cell            device class × slice: the strata in which devices are counted
    """

    spec: Population
    seed: int
    count: int
    cell: npt.NDArray[np.uint8] = field(init=False)
    canary: npt.NDArray[np.bool_] = field(init=False)
    habit: npt.NDArray[np.uint8] = field(init=False)
    link: npt.NDArray[np.uint8] = field(init=False)
    zone: npt.NDArray[np.uint8] = field(init=False)
    start: npt.NDArray[np.int32] = field(init=False)
    phase: npt.NDArray[np.float32] = field(init=False)
    ahead: npt.NDArray[np.bool_] = field(init=False)
    _buckets: dict[str, npt.NDArray[np.uint32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (
            ("cell", np.uint8),
            ("canary", np.bool_),
            ("habit", np.uint8),
            ("link", np.uint8),
            ("zone", np.uint8),
            ("start", np.int32),
            ("phase", np.float32),
            ("ahead", np.bool_),
        ):
            setattr(self, name, np.empty(self.count, kind))
        for begin in range(0, self.count, CHUNK):
            self._fill(slice(begin, min(begin + CHUNK, self.count)))
        self.periods = np.array([habit.every // MICROSECONDS for habit in self.spec.habits], np.int64)
        self.lengths = np.array([habit.online // MICROSECONDS for habit in self.spec.habits], np.int64)

    def _fill(self, part: slice) -> None:
        numbers = np.arange(part.start, part.stop, dtype=np.int64)

        def draw(stream: str) -> npt.NDArray[np.float64]:
            return self.draw(numbers, stream)

        spec = self.spec
        class_of = _picked(draw("class"), [one.share for one in spec.classes])
        sliced = draw("slice") < (spec.slice.share / PPM if spec.slice else 0)
        self.cell[part] = class_of * 2 + sliced
        self.canary[part] = draw("canary") < spec.canary / PPM
        self.habit[part] = habit = _picked(draw("habit"), [one.share for one in spec.habits])
        self.link[part] = _picked(draw("link"), [one.share for one in spec.links])
        self.zone[part] = zone = _picked(draw("zone"), [one.share for one in spec.zones])
        wrong = draw("clock") < spec.wrong_clocks / PPM
        self.ahead[part] = wrong & (draw("ahead") < 0.5)
        hours = np.array([one.hours for one in spec.zones])[zone] * _HOUR
        period = np.array([one.every // MICROSECONDS for one in spec.habits])[habit]
        within_day = _EVENING - hours + draw("window") * _SPREAD
        # Whoever comes every third day, or whose clock is wrong, comes at any time of its period.
        any_time = wrong | (period != 24 * _HOUR)
        self.start[part] = np.where(any_time, draw("window") * period, within_day % period).astype(np.int32)
        self.phase[part] = draw("phase")

    def draw(self, numbers: Indices, stream: str) -> npt.NDArray[np.float64]:
        """Uniform numbers of a stream that a device keeps."""
        return uniform(numbers, self.seed, _STREAMS.index(stream) + 1)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the device classes; a cell belongs to class `cell // 2`."""
        return tuple(one.name for one in self.spec.classes)

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return 2 * len(self.spec.classes)

    def labels(self, cell: int) -> dict[str, str]:
        """The label that a cell's devices have; none for those without it."""
        one = self.spec.slice
        return {one.label: one.value} if one and cell % 2 else {}

    def buckets(self, salt: str) -> npt.NDArray[np.uint32]:
        """Buckets for a salt, computed once."""
        if salt not in self._buckets:
            self._buckets[salt] = buckets(salt, self.count)
        return self._buckets[salt]


def devices_of(spec: ScenarioSpec) -> Devices:
    """The devices of a scenario."""
    return Devices(spec.population, spec.seed, spec.devices)


def _picked(drawn: npt.NDArray[np.float64], shares: Sequence[int]) -> npt.NDArray[np.uint8]:
    edges = np.cumsum(shares)[:-1] / PPM
    return np.searchsorted(edges, drawn, side="right").astype(np.uint8)

"""Scenario: a fleet that is not there, the releases that go out to it, and what goes wrong meanwhile.

Shares of one list add up to 100 %. All times count from the beginning of the scenario. The tier comes from a policy, so
that a fleet's owner can try the own one.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, Self

from pydantic import Field, model_validator

from muster.kinds.digest import Name, Version, version_key
from muster.kinds.ppm import PPM
from muster.kinds.quantity import Duration, Percent, Size
from muster.kinds.resource import AsTuple, Declared, LabelKey, LabelValue, Resource

MOST_DEVICES = 20_000_000
MOST_TICKS = 20_000

_HOUR = 3_600_000_000
_MINUTE = 60_000_000


class _Shared(Protocol):
    @property
    def share(self) -> int: ...


class SimulatedClass(Declared):
    """Devices of one class: their share of the fleet, and their 95th percentiles of latency (log-normal)."""

    name: Name
    share: Percent
    p95_latency: Duration = 8_000
    spread: Percent = 150_000


class Habit(Declared):
    """On line for `online` in every `every`, in the device's own evening; never, if `online` is 0."""

    name: Name
    share: Percent
    online: Duration
    every: Duration = 24 * _HOUR


class Link(Declared):
    """Bytes per second, and the part of the downloads that break off."""

    name: Name
    share: Percent
    per_second: Size
    broken: Percent = 0


class Zone(Declared):
    """Devices whose clocks are so many hours ahead of UTC."""

    name: Name
    share: Percent
    hours: Annotated[int, Field(ge=-12, le=14)]


class Slice(Declared):
    """A label value that some devices have, whatever their class."""

    label: LabelKey
    value: LabelValue
    share: Percent


def _default_habits() -> tuple[Habit, ...]:
    return (
        Habit(name="always", share=230_000, online=24 * _HOUR),
        Habit(name="evenings", share=370_000, online=4 * _HOUR),
        Habit(name="now-and-then", share=250_000, online=2 * _HOUR, every=72 * _HOUR),
        Habit(name="away", share=150_000, online=0),
    )


def _default_links() -> tuple[Link, ...]:
    return (
        Link(name="fibre", share=500_000, per_second=4 * 2**20),
        Link(name="mobile", share=400_000, per_second=256 * 2**10, broken=100_000),
        Link(name="edge", share=100_000, per_second=16 * 2**10, broken=400_000),
    )


def _default_zones() -> tuple[Zone, ...]:
    return (
        Zone(name="america", share=300_000, hours=-5),
        Zone(name="europe", share=400_000, hours=1),
        Zone(name="asia", share=300_000, hours=8),
    )


def _default_classes() -> tuple[SimulatedClass, ...]:
    return (
        SimulatedClass(name="cam-day", share=600_000),
        SimulatedClass(name="cam-lowlight", share=300_000, p95_latency=9_000),
        SimulatedClass(name="cam-edge", share=100_000, p95_latency=4_000),
    )


class Population(Declared):
    """Who the devices are. With the habits that stand here, about 30 % can be reached at any one time.

    `canary` is the share with the label ring=canary, which is the first cohort; everybody else is in the second.
    `wrongClocks` are years off: half of them ahead, so that they take no metadata for valid, half of them behind.
    `slice` adds one label that some devices have.
    """

    classes: Annotated[tuple[SimulatedClass, ...], AsTuple, Field(min_length=1, max_length=16)] = Field(
        default_factory=_default_classes
    )
    habits: Annotated[tuple[Habit, ...], AsTuple, Field(min_length=1, max_length=16)] = Field(
        default_factory=_default_habits
    )
    links: Annotated[tuple[Link, ...], AsTuple, Field(min_length=1, max_length=16)] = Field(
        default_factory=_default_links
    )
    zones: Annotated[tuple[Zone, ...], AsTuple, Field(min_length=1, max_length=32)] = Field(
        default_factory=_default_zones
    )
    canary: Percent = 50_000
    wrong_clocks: Percent = 10_000
    slice: Slice | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        lists: dict[str, tuple[_Shared, ...]] = {
            "classes": self.classes,
            "habits": self.habits,
            "links": self.links,
            "zones": self.zones,
        }
        for field, parts in lists.items():
            if sum(part.share for part in parts) != PPM:
                raise ValueError(f'the shares of {field} do not add up to "100%"')
        if any(habit.online > habit.every for habit in self.habits):
            raise ValueError("a habit is on line for longer than it lasts")
        return self


class Behaviour(Declared):
    """What a release does to devices of these classes (all, if none is named) and, with `sliced`, of the slice alone.

    `failures` fail their health window and roll back by themselves. `bricked` never speak again. After `diesAfter`, the
    program of `dying` devices has grown until it is killed; of these, `restarted` come back, the others stay silent.
    `slower` is how much latency has grown when `within` has passed. The last behaviour that fits a device counts.
    """

    device_classes: Annotated[tuple[Name, ...], AsTuple, Field(max_length=16)] = ()
    sliced: bool = False
    failures: Percent = 1_000
    bricked: Percent = 0
    dying: Percent = 0
    dies_after: Duration = 6 * _HOUR
    restarted: Percent = 500_000
    slower: Percent = 0
    within: Duration = _HOUR


class SimulatedRelease(Declared):
    """One release of the model: when it is committed, and what it does."""

    version: Version
    at: Duration = 0
    behaviours: Annotated[tuple[Behaviour, ...], AsTuple, Field(min_length=1, max_length=16)] = (Behaviour(),)
    harmful: bool = False


class Trouble(Declared):
    """What is broken between `at` and the end of `lasts`.

    `server`: nobody answers polls or reports. `telemetry`: reports are not taken. `corrupt-cdn`: downloads arrive with
    other bytes than the published ones, in these zones (in all, if none is named).
    """

    what: Literal["server", "telemetry", "corrupt-cdn"]
    at: Duration
    lasts: Duration
    zones: Annotated[tuple[Name, ...], AsTuple, Field(max_length=32)] = ()


class ScenarioSpec(Declared):
    """The first release runs everywhere at the beginning; each one after it supersedes the one before.

    `restarts`: the controller dies after every single step that it carries out.
    """

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 1
    devices: Annotated[int, Field(ge=100, le=MOST_DEVICES)] = 10_000_000
    duration: Duration = 96 * _HOUR
    tick: Duration = 5 * _MINUTE
    artifact_size: Size = 4 * 2**20
    population: Population = Field(default_factory=Population)
    releases: Annotated[tuple[SimulatedRelease, ...], AsTuple, Field(min_length=2, max_length=8)]
    troubles: Annotated[tuple[Trouble, ...], AsTuple, Field(max_length=16)] = ()
    restarts: bool = False

    @property
    def halts_called_for(self) -> tuple[int, ...]:
        """Numbers of the releases that somebody should halt: harmful ones, and what arrives corrupt."""
        corrupt = any(one.what == "corrupt-cdn" for one in self.troubles)
        return tuple(number for number, release in enumerate(self.releases) if number and (release.harmful or corrupt))

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not 60_000_000 <= self.tick <= self.duration <= MOST_TICKS * self.tick:
            raise ValueError(f"a tick takes a minute or more, and a scenario has 1 to {MOST_TICKS} of them")
        versions = [version_key(release.version) for release in self.releases]
        if versions != sorted(set(versions)):
            raise ValueError("releases stand from the oldest version to the newest, each once")
        known = {one.name for one in self.population.classes}
        named = {name for release in self.releases for item in release.behaviours for name in item.device_classes}
        zones = {zone.name for zone in self.population.zones}
        stray = sorted((named - known) | ({name for one in self.troubles for name in one.zones} - zones))
        if stray:
            raise ValueError(f"the population has no {', '.join(stray)}")
        if any(one.zones and one.what != "corrupt-cdn" for one in self.troubles):
            raise ValueError("only a corrupt CDN keeps to zones; leave out zones")
        return self


class Scenario(Resource):
    """scenarios/<name>.yaml"""

    kind: Literal["Scenario"] = "Scenario"
    spec: ScenarioSpec

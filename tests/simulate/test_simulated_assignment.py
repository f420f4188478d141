"""The planner's arithmetic over arrays gives what the scalar functions give."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleets import make_fleet, make_release
from muster.agent.schedule import next_poll
from muster.kinds.scenario import Population
from muster.plan.assignment import BUCKETS, bucket, choose
from muster.plan.documents import desired_documents
from muster.plan.world import World
from muster.simulate.scenario.assignment import NOTHING, buckets, chosen, device_id, scaled
from muster.simulate.scenario.contact import NEVER, Contact, Span
from muster.simulate.scenario.population import Devices


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_scaling_loses_nothing(values: list[int]) -> None:
    """Two 32-bit halves give exactly the 84-bit product, shifted."""
    expected = [(value * BUCKETS) >> 64 for value in values]
    assert expected == scaled(np.array(values, np.uint64)).tolist()


def test_the_edges_are_scaled_exactly() -> None:
    """The largest u, and both sides of every thousandth bucket's edge."""
    edges = [-(-(number << 64) // BUCKETS) for number in range(1, BUCKETS, 1_000)]
    values = [2**64 - 1, 0, *edges, *(edge - 1 for edge in edges)]
    assert [(value * BUCKETS) >> 64 for value in values] == scaled(np.array(values, np.uint64)).tolist()


def test_buckets_are_the_planners() -> None:
    """Device for device, for salts of every form."""
    for salt in ("simulated/1.1.0", "sticky/first", "x"):
        assert [bucket(salt, device_id(number)) for number in range(2_000)] == buckets(salt, 2_000).tolist()


def test_every_device_chooses_what_choose_says() -> None:
    """Three releases, two cohorts, shares that overlap, and a cohort that gets nothing of the oldest."""
    fleet = make_fleet(
        make_release("1.2.0", {"canary": "40%", "fleet": "3%"}),
        make_release("1.1.0", {"canary": "100%", "fleet": "25%"}),
        make_release("1.0.0", {"canary": "100%", "fleet": "70%"}),
    )
    world = World(prepared=frozenset(release.pins for release in fleet.releases))
    document = desired_documents(fleet, world, {}, 1)["meter-reader", "cam-day"]
    names = [release.name for release in fleet.releases]
    cohort = np.arange(3_000) % 2
    of_salt = {entry.salt: buckets(entry.salt, 3_000) for entry in document.entries}
    found = chosen(document, cohort.astype(np.uint8), of_salt, names)
    for number in range(3_000):
        labels = {"ring": "canary"} if cohort[number] == 0 else {}
        entry = choose(document, device_id(number), labels)
        assert (names.index(entry.release) if entry else NOTHING) == found[number]
    assert set(found.tolist()) == {0, 1, 2, NOTHING}


def always_on(count: int) -> Devices:
    habits = '{"habits": [{"name": "always", "share": "100%", "online": "24h"}]}'
    return Devices(Population.model_validate_json(habits), 3, count)


def test_slots_are_the_agents() -> None:
    """A device that is always on line polls when `agent.schedule` says, before an outage and after it."""
    # Seconds of a slot are exact floats if the interval is a power of two.
    interval, outage = 256, Span(1_000, 9_000)
    devices = always_on(200)
    contact = Contact(devices, interval, (outage,))
    numbers = np.arange(200)
    for after in (0, 299, 300, 977, 4_242):
        found = contact.poll(numbers, np.full(200, after, np.int64))
        for number in range(200):
            place = int(devices.phase[number] * interval) / interval
            expected, failures = next_poll(float(after), interval, place), 0
            while outage.begin <= round(expected) < outage.end:
                failures += 1
                expected = next_poll(round(expected), interval, place, failures=failures)
            assert round(expected) == found[number]


def test_who_is_never_on_line_is_never_reached() -> None:
    """And everybody else is, within the longest period and a day."""
    population = Population()
    devices = Devices(population, 1, 5_000)
    contact = Contact(devices, 300)
    numbers = np.arange(5_000)
    found = contact.poll(numbers, np.full(5_000, 12_345, np.int64))
    away = devices.lengths[devices.habit] == 0
    assert (found[away] == NEVER).all()
    assert (found[~away] < 12_345 + 73 * 3_600).all()
    assert contact.online(numbers[~away], found[~away]).all()

"""What a change does to the fleet: shares of devices, against devices that choose for themselves."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from fleets import make_fleet, make_release
from muster.check.change import difference
from muster.check.effect import Offer, movement, rows
from muster.kinds.field_state import FieldState
from muster.kinds.quantity import PPM
from muster.plan.assignment import in_share

NOW = datetime(2026, 3, 1, tzinfo=UTC)
VERSIONS = ("1.3.0", "1.2.0", "1.1.0", "1.0.0")
DEVICES = [f"device-{number}" for number in range(4_000)]
shares = st.lists(st.sampled_from([0, 50_000, 250_000, 500_000, PPM]), min_size=4, max_size=4)


def _offers(percentages: list[int]) -> tuple[Offer, ...]:
    found = []
    for version, ppm in zip(VERSIONS, percentages, strict=True):
        if ppm:
            found.append(Offer(make_release(version, {}), ppm))
        if ppm == PPM:
            break
    return tuple(found)


def _chosen(offers: tuple[Offer, ...], device: str) -> str | None:
    return next(
        (offer.release.name for offer in offers if in_share(offer.release.salt, device, offer.ppm)),
        None,
    )


@settings(max_examples=25, deadline=None)
@given(shares, shares)
def test_shares_are_those_of_devices_that_choose(now: list[int], then: list[int]) -> None:
    """The computed share that moves is the share of devices whose own choice changes, within sampling error."""
    before, after = _offers(now), _offers(then)

    moving = sum(_chosen(before, device) != _chosen(after, device) for device in DEVICES) / len(DEVICES)

    assert abs(float(movement(before, after).total) - moving) < 0.04


def test_widening_moves_the_difference() -> None:
    """From 5 % to 25 % a fifth of the devices move forward; each of them downloads the artifact."""
    moved = movement(_offers([0, 50_000, PPM, 0]), _offers([0, 250_000, PPM, 0]))

    assert float(moved.total) == 0.2
    assert moved.direction == "forward"
    assert moved.download == 200


def test_a_rollback_downloads_nothing() -> None:
    """Devices return to the release in their other slot."""
    moved = movement(_offers([0, 250_000, PPM, 0]), _offers([0, 0, PPM, 0]))

    assert (float(moved.back), moved.download, moved.direction) == (0.25, 0, "back")


def test_many_offers_stay_cheap() -> None:
    """Two hundred partial releases on both sides do not take exponential time."""
    names = [f"1.{number}.0" for number in range(200, 0, -1)]
    chance = random.Random(7)
    now = tuple(Offer(make_release(name, {}), chance.randrange(1, 1_000)) for name in names)

    assert movement(now, now[::-1]).total <= 1


def test_a_dropped_cohort_is_shown_with_the_devices_it_moves() -> None:
    """Its devices belong to the next cohort that is sure to match them, and move to what that one offers."""
    releases = (
        make_release("1.1.0", {"canary": "100%"}, supersedes="1.0.0"),
        make_release("1.0.0", {"canary": "100%", "fleet": "100%"}),
    )
    base = make_fleet(*releases)
    canary, fleet = base.cohorts
    change = difference(base, replace(base, cohorts=(fleet,)), ())
    field = FieldState(NOW, {("cam-day", canary.metadata.name): 40, ("cam-day", fleet.metadata.name): 960})

    found = {row.cohort: row for row in rows(change, field) if row.device_class == "cam-day"}

    assert (found["canary"].devices, found["canary"].direction) == (40, "back")
    assert (found["fleet"].devices, found["fleet"].direction) == (0, "same")


def test_a_deleted_release_is_shown_with_the_devices_it_moves() -> None:
    """Without a controller in percent, and with what the devices return to."""
    old = make_release("1.0.0", {"canary": "100%", "fleet": "100%"})
    new = make_release("1.1.0", {"canary": "25%"}, supersedes="1.0.0")
    change = difference(make_fleet(new, old), make_fleet(old), ())

    found = {row.cohort: row for row in rows(change, None) if row.device_class == "cam-day"}

    assert (found["canary"].moved_ppm, found["canary"].direction, found["canary"].devices) == (250_000, "back", None)

"""Cohort assignment: published vectors, and what must hold for any salt and id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.kinds.cohort import Selector
from muster.kinds.desired import OrderedCohort
from muster.plan.assignment import bucket, cohort_of, in_share

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors/bucket.json").read_text())["vectors"]

ids = st.text(min_size=1, max_size=64)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['salt']}-{vector['deviceId']}")
def test_vectors(vector: dict) -> None:
    """The vectors that other languages check themselves against."""
    assert vector["bucket"] == bucket(vector["salt"], vector["deviceId"])


def test_empty_id_is_in_no_share() -> None:
    """A device without an id is in no cohort, at any percentage."""
    assert not in_share("salt", "", 1_000_000)


@given(ids, ids)
def test_bucket_is_a_part_per_million(salt: str, device_id: str) -> None:
    """Every bucket lies in 0..999,999, so that 0 % is nobody and 100 % is everybody."""
    assert 0 <= bucket(salt, device_id) < 1_000_000
    assert not in_share(salt, device_id, 0)
    assert in_share(salt, device_id, 1_000_000)


@given(ids, ids, st.integers(0, 1_000_000), st.integers(0, 1_000_000))
def test_a_share_that_grows_keeps_its_devices(salt: str, device_id: str, a: int, b: int) -> None:
    """5 % ⊂ 25 % ⊂ 100 %."""
    small, large = sorted((a, b))
    assert not in_share(salt, device_id, small) or in_share(salt, device_id, large)


def test_shares_are_uniform_and_independent_across_salts() -> None:
    """Of 20,000 ids, 5 % within four standard errors; two salts agree on 0.25 % of them."""
    names = [f"dev-{number:09d}" for number in range(20_000)]
    first = {name for name in names if in_share("meter-reader/1.0.0", name, 50_000)}
    second = {name for name in names if in_share("meter-reader/1.1.0", name, 50_000)}
    assert abs(len(first) - 1_000) < 4 * (20_000 * 0.05 * 0.95) ** 0.5
    assert abs(len(first & second) - 50) < 4 * (20_000 * 0.0025 * 0.9975) ** 0.5


def test_a_device_belongs_to_the_first_cohort_that_matches() -> None:
    """Cohorts divide the fleet in their order; a device that none selects is in none."""
    canary = OrderedCohort(name="canary", selector=Selector(match_labels={"ring": "canary"}))
    europe = OrderedCohort(name="europe", selector=Selector(match_labels={"region": "eu"}))
    assert cohort_of([canary, europe], {"ring": "canary", "region": "eu"}) == "canary"
    assert cohort_of([canary, europe], {"region": "eu"}) == "europe"
    assert cohort_of([canary, europe], {"region": "us"}) is None

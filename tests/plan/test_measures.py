"""Measures: what a report says, as whole numbers."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from muster.kinds.guardrails import GUARDRAIL_KINDS
from muster.kinds.telemetry import Report
from muster.plan.buckets import HIGHEST_BUCKET, LOWEST_BUCKET, bucket_of, edge, level_of
from muster.plan.measures import READERS, is_about, measures_of
from muster.plan.tallies import BY_PHASE

PINS = {"model_hash": "sha256:" + "1" * 64, "config_version": "sha256:" + "c" * 64}


def report(**fields: Any) -> Report:
    given_fields = {
        "device_id": "d",
        "sequence": 1,
        "model": "meter-reader",
        "device_class": "cam-day",
        "generation": 1,
        "release": "meter-reader/1.0.0",
        "phase": "healthy",
        "runtime_version": "1.31.1",
        **PINS,
    }
    return Report.model_validate(given_fields | fields)


@given(st.floats(2.0**-19, 2.0**49))
def test_an_amount_lies_in_its_bucket(amount: float) -> None:
    """Above the lower edge, at most at the upper one, and a bucket is 2.2 % wide."""
    bucket = bucket_of(amount)
    assert edge(bucket) < amount <= edge(bucket + 1)
    assert edge(bucket + 1) / edge(bucket) < 1.0220


@given(st.floats(0, 1e300), st.floats(0, 1e300))
def test_more_is_never_in_a_lower_bucket(one: float, other: float) -> None:
    """Whatever a device says, the bucket is one of those that there are."""
    assert LOWEST_BUCKET <= bucket_of(min(one, other)) <= bucket_of(max(one, other)) <= HIGHEST_BUCKET


def test_every_reading_has_a_reader() -> None:
    """But for those that phases answer, that a declared provider answers, and that carry their own names."""
    assert set(READERS) | BY_PHASE | {"delegate-inactive", "value"} == set(GUARDRAIL_KINDS)


def test_what_is_not_said_is_missing() -> None:
    """An older agent's report: no zero stands for what it does not know."""
    assert measures_of(report(), None, {}) == {}


def test_what_is_said_is_read() -> None:
    """Each by its own rule; keys that are not declared are left out."""
    said = report(
        crashes=2,
        thermal_state="serious",
        p95_ms=18.5,
        load_time_ms=40.0,
        peak_ram_mb=64.0,
        dropped_frames=1,
        inferences=3,
        confident_ppm=940_000,
        confidence_histogram=(0,) * 9 + (10,),
        fallback_ppm=20_000,
        accepted=9,
        corrected=1,
        delegate_active="CPUExecutionProvider",
        values={"queue-depth": 12.0, "idle": 0.25, "unknown": 1.0},
    )
    found = measures_of(said, "XnnpackExecutionProvider", {"queue-depth": "amount", "idle": "share"})
    assert found == {
        "crash-share": 1,
        "thermal-state": 1,
        "p95-latency": bucket_of(18_500),
        "load-time": bucket_of(40_000),
        "peak-ram": bucket_of(2**26),
        "dropped-frames": 25,
        "confident-share": 94,
        "confidence": level_of(0.95),
        "fallback-frequency": 2,
        "correction-share": 10,
        "delegate-inactive": 1,
        "value/queue-depth": bucket_of(12),
        "value/idle": 25,
    }


def test_figures_are_about_what_runs() -> None:
    """The pins decide, not the release that is named."""
    assert is_about(report(), PINS)
    assert not is_about(report(model_hash="sha256:" + "2" * 64), PINS)
    assert not is_about(report(phase="downloaded"), PINS)
    assert not is_about(report(model_hash=None, config_version=None), {})

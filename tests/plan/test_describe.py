"""JSON: one spelling for our fields, and none for what is data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from muster.plan.describe import as_json
from muster.plan.guardrails import Verdict


@dataclass(frozen=True)
class Row:
    device_class: str
    last_seen_at: datetime | None
    error_codes: dict[str, int]
    rows: tuple[Row, ...] = ()
    by_pair: dict[tuple[str, str], int] = field(default_factory=dict)


def test_fields_are_camel_case_and_data_keys_stay() -> None:
    """At every depth: our names change, error codes, releases and telemetry keys do not."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    inner = Row("cam-day", None, {"low_confidence": 2})
    outer = Row("cam-day", at, {}, (inner,), {("meter-reader", "cam-day"): 1})
    assert as_json(outer) == {
        "deviceClass": "cam-day",
        "lastSeenAt": "2026-01-01T00:00:00+00:00",
        "errorCodes": {},
        "rows": [
            {
                "deviceClass": "cam-day",
                "lastSeenAt": None,
                "errorCodes": {"low_confidence": 2},
                "rows": [],
                "byPair": {},
            }
        ],
        "byPair": {"meter-reader/cam-day": 1},
    }


def test_a_verdict_keeps_its_numbers() -> None:
    """What a decision was based on is written with its values."""
    record = {"boundary": "0.2", "candidate": {"judged": 3, "failed": 2}}
    verdict = Verdict("m/1.0.0", "cam-day", "", "failures", "limit", "harm", "why", "nothing", record=record)
    assert as_json(verdict)["record"] == record
    assert as_json(verdict)["deviceClass"] == "cam-day"

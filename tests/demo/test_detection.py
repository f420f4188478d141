"""How the demo counts the ticks from the verdict to the revert commit, and what it tells of the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from muster.demo.detection import detection
from muster.kinds.errors import Unusable

BAD = "meter-reader/1.2.0"


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02d}+00:00"


def decided(second: int, release: str = BAD, outcome: str = "harm") -> dict[str, Any]:
    numbers = {
        "boundary": "0.05",
        "lower": "0.0816498",
        "evidence": {"harm": "9.2"},
        "needed": {"harm": "5.99146"},
        "candidate": {"judged": 3, "failed": 3, "pending": 1, "missing": 0, "recalled": 0},
    }
    record = {
        "release": release,
        "outcome": outcome,
        "deviceClass": "cam-lowlight",
        "stratum": "os=12.11",
        "guardrail": "failing-devices",
        "record": numbers,
    }
    return {"event": "decided", "at": at(second), "body": {"record": record}}


def reverted(second: int) -> dict[str, Any]:
    return {"event": "reverted", "at": at(second), "body": {"release": BAD}}


@pytest.mark.parametrize(
    ("revert", "ticks", "expected"),
    [
        (5, (3, 4, 5, 6), 1),
        (7, (4, 5, 7), 2),
        (8, (4, 5, 6, 7, 8, 9), 4),
        # The tick of the verdict was cut off and never finished.
        (7, (4, 7, 8), 2),
    ],
    ids=["the same tick", "the next tick", "three later", "killed in between"],
)
def test_ticks_are_counted_from_the_verdict_to_the_revert(revert: int, ticks: tuple[int, ...], expected: int) -> None:
    """Both are included; the first verdict of harm about this release counts, and no other."""
    events = [decided(1, "meter-reader/1.1.0"), decided(2, outcome="no-worse"), decided(5), decided(6)]
    found = detection([*events, reverted(revert)], [at(tick) for tick in ticks], BAD)
    assert (found.at.second, found.ticks) == (5, expected)


def test_the_numbers_of_the_verdict_are_told() -> None:
    """Failed of tried, the share that is sure, the limit, and the evidence beside what was needed."""
    assert detection([decided(5), reverted(5)], [], BAD).lines() == [
        "verdict: harm by failing-devices in cam-lowlight, os=12.11",
        "3 of 4 devices failed: at least 8.16 %, the limit is 5 %",
        "evidence 9897 to 1, needed 400 to 1",
        "ticks from the verdict to the revert commit: 1",
    ]


@pytest.mark.parametrize("events", [[], [decided(5)], [reverted(5)]], ids=["nothing", "no revert", "no verdict"])
def test_what_the_ledger_does_not_hold_is_said(events: list[dict[str, Any]]) -> None:
    """No traceback and no invented figure."""
    with pytest.raises(Unusable, match="no verdict of harm"):
        detection(events, [], BAD)

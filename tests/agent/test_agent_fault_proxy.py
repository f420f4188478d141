"""A hundred agents behind a proxy that spoils answers: all converge, nothing wrong is ever activated."""

from __future__ import annotations

from pathlib import Path

from fault_fleet import FaultFleet
from fault_proxy import FAULTS

AGENTS = 100


def test_a_hundred_agents_converge_behind_every_fault_and_activate_nothing_wrong(tmp_path: Path) -> None:
    """From enrolment until a release is confirmed, an answer in eight is cut off, altered, stalled, reset, an error, a
    redirect to itself, of a wrong length, or comes byte by byte. After each round (see `fault_fleet`) only bytes that
    were published were ever loaded, and what runs is whole; in the end the server has heard of the release from all.
    """
    found = FaultFleet(tmp_path, AGENTS, releases=1, rate=0.12, seed=1).run()
    assert found["agents"] == AGENTS
    assert all(found["dealt"][fault] >= 5 for fault in FAULTS), found
    assert found["asked for"] == ["artifacts", "desired", "enrol", "metadata", "reports", "trust"]
    # The faults were felt: without them, a device needs three rounds.
    assert found["rounds"] > 3 * AGENTS

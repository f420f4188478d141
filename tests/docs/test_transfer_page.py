"""The figures of docs/transfer.md are those of the code."""

from __future__ import annotations

from pathlib import Path

from muster.agent.connections import Limits
from muster.agent.promotion import FIRST_PAUSE, LONGEST_PAUSE, MOST_ATTEMPTS
from muster.agent.schedule import LONGEST, START_SPREAD
from muster.agent.server import LONGEST_PAUSE as LONGEST_RETRY
from muster.agent.sources import REST

PAGE = " ".join((Path(__file__).resolve().parents[2] / "docs/transfer.md").read_text().split())


def test_the_page_shows_the_limits_that_hold() -> None:
    """Change one, and the page is to be changed with it."""
    limits = Limits()
    assert f"| connecting | {limits.connect:g} |" in PAGE
    assert f"| a complete header | {limits.header:g} |" in PAGE
    assert f"| silence | {limits.idle:g} |" in PAGE
    assert f"| a whole answer | {limits.whole:g}, and one more for every {limits.slowest} bytes" in PAGE
    assert (MOST_ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE) == (3, 3_600, 86_400)
    assert (LONGEST, LONGEST_RETRY, START_SPREAD, REST) == (3_600, 3_600, 300, 300)

"""docs/rollouts-statistics.md holds a full run: as many rollouts as are asked for, false halts as rare as declared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs/rollouts-statistics.md").read_text()


def rows(name: str) -> list[list[str]]:
    """Cells of the table between the markers, without its head."""
    table = re.search(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", PAGE, flags=re.DOTALL).group(1)
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("row", rows("false-halts"), ids=lambda row: row[0])
def test_false_halts_are_at_most_what_is_declared(row: list[str]) -> None:
    """Of 2,000 rollouts, all guardrails together and each alone."""
    _, halted, of, share, declared = row
    assert int(of) == 2_000
    assert int(halted) / int(of) <= 0.05
    assert f"{int(halted) / int(of):.2%}" == share
    assert declared == "5%"


def test_power_is_tabulated_for_what_is_asked() -> None:
    """0.1 to 0.5 %, 1 to 2 %, a latency shift of 10 %: with one and with ten tests, on narrow and wide steps."""
    cases = ("failures 0.1 → 0.5 %", "failures 1 → 2 %", "p95 over devices + 10 %", "median over devices + 10 %")
    expected = [[case, share, tests] for case in cases for share in ("5%", "50%") for tests in ("1", "10")]
    assert expected == [row[:3] for row in rows("power")]

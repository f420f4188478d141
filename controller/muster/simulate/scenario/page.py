"""The tables of docs/rollouts.md: what `make simulate` measured, between two markers.

Each table says what it was measured with, so that one scenario can be played again without the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from muster.simulate.scenario.play import Played
from muster.simulate.scenario.record import Outcome

BEGIN: Final = "<!-- simulated: begin -->"
END: Final = "<!-- simulated: end -->"
HEADING: Final = "### "

COLUMNS: Final = (
    "policy",
    "detected after",
    "steps begun",
    "share of the fleet",
    "exposed",
    "harmed",
    "false halts",
    "last one back after",
    "left on it",
    "requests/s",
    "peak",
    "GB",
)


def row(one: Outcome) -> tuple[str, ...]:
    """One policy in one scenario, as text."""
    return (
        one.policy,
        span(one.detection),
        str(one.steps + 1),
        f"{one.share:.2%}",
        f"{one.exposed:,}",
        f"{one.harmed:,}",
        str(one.false_halts),
        span(one.back),
        f"{one.left_behind:,}",
        f"{one.requests_mean:,.0f}",
        f"{one.requests_peak:,.0f}",
        f"{one.gigabytes:,.0f}",
    )


def span(seconds: int | None) -> str:
    """A length of time for people; a dash for what did not happen."""
    if seconds is None:
        return "–"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def section(one: Played, description: str, measured: str) -> str:
    """Markdown: the table of one scenario, and how it was measured."""
    head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"
    rows = "\n".join(f"| {' | '.join(row(item))} |" for item in one.outcomes)
    said = "; ".join(one.complaints)
    verdict = f"\n\n**Muster does not hold here: {said}.**" if said else ""
    return f"{HEADING}{one.name}\n\n{description}\n\n{head}\n{rows}{verdict}\n\n{measured}"


def between_markers(text: str, sections: Mapping[str, str]) -> str:
    """The page with these tables replaced or added, by scenario. Raises `ValueError` if it has no markers."""
    before, begin, rest = text.partition(BEGIN)
    content, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    parts = content.split(f"\n{HEADING}")[1:]
    known = {part.partition("\n")[0]: f"{HEADING}{part.strip()}" for part in parts}
    joined = "\n\n".join({**known, **sections}.values())
    return f"{before}{BEGIN}\n\n{joined}\n\n{END}{after}"

"""The table of docs/rollouts.md: what `make simulate` measured, between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from muster.simulate.scenario.play import Played
from muster.simulate.scenario.record import Outcome

BEGIN: Final = "<!-- simulated: begin -->"
END: Final = "<!-- simulated: end -->"

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


def tables(played: Sequence[Played], description: dict[str, str], measured: str) -> str:
    """Markdown: one table a scenario."""
    parts = [measured]
    for one in played:
        head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"
        rows = "\n".join(f"| {' | '.join(row(item))} |" for item in one.outcomes)
        said = "; ".join(one.complaints)
        verdict = f"\n\n**Muster does not hold here: {said}.**" if said else ""
        parts.append(f"### {one.name}\n\n{description[one.name]}\n\n{head}\n{rows}{verdict}")
    return "\n\n".join(parts)


def between_markers(text: str, content: str) -> str:
    """The page with its tables replaced. Raises `ValueError` if it has no markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"

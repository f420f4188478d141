"""The rollout as a Mermaid flowchart: for each model and cohort, what is on offer before and after."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from muster.check.judgement import Row
from muster.review.reports.neutral import mermaid_label
from muster.review.reports.words import shares

MOST_ARROWS: Final = 24
"""More than this nobody can read on a phone; the table has them all."""


def rollout_picture(rows: Sequence[Row]) -> tuple[list[str], int]:
    """The lines of the fenced block, and how many arrows were left out. Classes that move alike share an arrow."""
    arrows = _arrows(rows)
    lines = ["```mermaid", "flowchart LR"]
    number = 0
    for model, found in groupby(arrows[:MOST_ARROWS], key=lambda arrow: arrow[0]):
        lines.append(f'  subgraph m{number}["{mermaid_label(model)}"]')
        for _, cohort, now, then in found:
            lines.append(f'    b{number}["{mermaid_label(f"{cohort}: {now}", 120)}"] --> a{number}["{_label(then)}"]')
            number += 1
        lines.append("  end")
    return [*lines, "```"], max(0, len(arrows) - MOST_ARROWS)


def _label(text: str) -> str:
    return mermaid_label(text, 120)


def _arrows(rows: Sequence[Row]) -> list[tuple[str, str, str, str]]:
    """(model, cohort, now, then); the cohort names its classes where not all of them do the same."""
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for row in rows:
        key = (row.model, row.cohort, shares(row.now, row.model), shares(row.then, row.model))
        alike.setdefault(key, []).append(row.device_class)
    ways = [(model, cohort) for model, cohort, _, _ in alike]
    return sorted(
        (
            (model, cohort if ways.count((model, cohort)) == 1 else f"{cohort} on {', '.join(classes)}", now, then)
            for (model, cohort, now, then), classes in alike.items()
        ),
        key=lambda arrow: arrow[0],
    )

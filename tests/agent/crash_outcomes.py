"""What the crash points were found to end in: kept in a file, so that docs/faults.md shows what ran."""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

Step = Literal[
    "first installation",
    "upgrade, trial, confirmation",
    "failing trial, rollback",
    "upgrade before the halt",
    "halt, return",
    "download interrupted and resumed",
]
STEPS: tuple[Step, ...] = get_args(Step)


def record(calls: Counter[str], cases: int, outcomes: Counter[tuple[str, str, str]]) -> None:
    print(calls, calls.total(), cases, sum(outcomes.values()))
    for key, count in sorted(outcomes.items()):
        print(key, count)

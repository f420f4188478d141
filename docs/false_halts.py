"""Plays healthy and bad rollouts against the statistics, and writes what it measured to docs/rollouts-statistics.md.

`python docs/false_halts.py`: a quarter of an hour on one core.
Exit 1 if healthy rollouts are halted more often than declared.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "controller"), str(ROOT / "docs")]

from generate import replace  # noqa: E402

from muster.plan.statistics import rates  # noqa: E402
from muster.plan.statistics.counts import PPM, Arm  # noqa: E402
from muster.plan.statistics.family import Terms  # noqa: E402
from muster.plan.statistics.questions import QuantileMargin, Question, ShareMargin  # noqa: E402
from muster.simulate.looked_at import SHARES, Habits, Peaks, Rollout, exposed_until_harm, peaks, spread  # noqa: E402

PAGE = ROOT / "docs/rollouts-statistics.md"
SEED = 20_260_501
NAMES = ("share, fixed bound", "share, control", "p95 over devices, control", "mean, fixed bound")

Bad = tuple[str, Question, Habits, Habits, int]
CASES: tuple[Bad, ...] = (
    ("failures 0.1 → 0.5 %", ShareMargin(1.0), Habits(failing=0.005), Habits(failing=0.001), 20_000),
    ("failures 1 → 2 %", ShareMargin(1.0), Habits(failing=0.02), Habits(failing=0.01), 20_000),
    ("p95 over devices + 10 %", QuantileMargin(0.95, 1.0), Habits(latency=1.1), Habits(), 5_000),
    ("median over devices + 10 %", QuantileMargin(0.5, 1.0), Habits(latency=1.1), Habits(), 5_000),
)


def false_halts(rollouts: int) -> tuple[str, bool]:
    """The table, and whether the declared error holds."""
    rollout, played = Rollout(), list[Peaks]()
    for number in range(rollouts):
        played.append(peaks(np.random.default_rng((SEED, number)), rollout))
        if number % 100 == 99:
            print(f"{number + 1} rollouts", flush=True)
    needed, error = Terms().no_worse_needed, Terms().error_ppm / PPM
    halted = sum(one.together >= needed for one in played)
    lines = ["| guardrails | halted | of | share | declared |", "|---|---|---|---|---|"]
    lines.append(f"| all together | {halted} | {rollouts} | {halted / rollouts:.2%} | {error:.0%} |")
    worst = halted / rollouts
    for index, name in enumerate(NAMES):
        times = sum(one.alone[index] >= needed for one in played)
        lines.append(f"| {name}, alone, one stratum | {times} | {rollouts} | {times / rollouts:.2%} | {error:.0%} |")
        worst = max(worst, times / rollouts)
    looks = len(SHARES) * (rollout.batches + 1)
    lines += ["", f"{looks} looks each; {rollout.devices:,} devices per stratum. Seed {SEED}."]
    return "\n".join([*lines, ""]), worst <= error


def power(runs: int) -> str:
    """The table of bad releases."""
    lines = [
        "| harm | share | tests | found | median devices | 90 % within | of at most |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, (name, question, candidate, control, most) in enumerate(CASES):
        for column, share in enumerate((0.05, 0.5)):
            seeds = [(SEED, row, column, run) for run in range(runs)]
            found = [
                exposed_until_harm(np.random.default_rng(seed), question, (candidate, control), share, most)
                for seed in seeds
            ]
            print(name, share, flush=True)
            for tests in (1, 10):
                part, middle, late = spread([one[tests] for one in found], most)
                shown = [f"{middle:,.0f}", f"{late:,.0f}" if part >= 0.9 else "not reached"]
                lines.append(f"| {name} | {share:.0%} | {tests} | {part:.1%} | {' | '.join(shown)} | {most:,} |")
    notes = f"{runs} runs a line; baseline of the latencies: log-normal between devices, log-spread 0.15. Seed {SEED}."
    return "\n".join([*lines, "", notes, ""])


def fewest() -> str:
    """The table of devices that all show the same."""
    lines = [
        "| limit | all hold: no worse after | all fail: harm after (1 test) | (10 tests) | (100 tests) |",
        "|---|---|---|---|---|",
    ]
    for limit in (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2):
        cells = [_first(_held(limit), Terms().no_worse_needed)]
        cells += [_first(_failed(limit), Terms(tests=tests).harm_needed) for tests in (1, 10, 100)]
        lines.append(f"| {limit:.1%} | {' | '.join(f'{cell:,}' for cell in cells)} |")
    return "\n".join([*lines, ""])


def _held(limit: float) -> Callable[[int], float]:
    return lambda devices: rates.no_worse_than_limit(Arm(devices, devices), limit)


def _failed(limit: float) -> Callable[[int], float]:
    return lambda devices: rates.harm_against_limit(Arm(devices, devices, devices), limit)


def _first(evidence: Callable[[int], float], needed: float) -> int:
    return next(devices for devices in _counting() if evidence(devices) >= needed)


def _counting() -> Iterator[int]:
    yield from range(1, math.floor(1e6))


def main() -> int:
    """Play, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=200)
    given = parser.parse_args()
    tables, holds = {"fewest": fewest(), "power": power(given.runs)}, True
    tables["false-halts"], holds = false_halts(given.rollouts)
    page = PAGE.read_text()
    for name, table in tables.items():
        print(table)
        page = replace(page, name, table)
    PAGE.write_text(page)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())

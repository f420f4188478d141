"""Rollouts looked at after every batch: healthy ones are halted as rarely as declared, bad ones are found."""

from __future__ import annotations

import numpy as np
import pytest

from muster.plan.statistics.family import Terms
from muster.plan.statistics.questions import QuantileMargin, Question, ShareMargin
from muster.simulate.looked_at import Habits, Rollout, exposed_until_harm, peaks, spread

SEED = 20_260_501


def test_healthy_rollouts_are_not_halted() -> None:
    """The first 12 of those that docs/false_halts.py plays: every guardrail on its boundary, one false halt allowed."""
    needed = Terms().no_worse_needed
    played = [peaks(np.random.default_rng((SEED, number)), Rollout()) for number in range(12)]
    assert sum(one.together >= needed for one in played) <= 1
    assert len(played[0].alone) == Rollout().terms.tests


def test_a_bad_stratum_is_found() -> None:
    """The same rollout, with a release that fails on 5 % instead of 1 %: always found."""
    needed = Terms().no_worse_needed
    rollout = Rollout(candidate=Habits(failing=0.05))
    assert all(peaks(np.random.default_rng((SEED, number)), rollout).together >= needed for number in range(3))


@pytest.mark.parametrize(
    ("question", "bad", "good", "most"),
    [
        (ShareMargin(1.0), Habits(failing=0.005), Habits(failing=0.001), 15_000),
        (ShareMargin(1.0), Habits(failing=0.02), Habits(failing=0.01), 15_000),
        (QuantileMargin(0.95, 1.0), Habits(latency=1.1), Habits(), 3_000),
    ],
    ids=["0.1 to 0.5 %", "1 to 2 %", "latency 10 %"],
)
def test_bad_releases_are_found(question: Question, bad: Habits, good: Habits, most: int) -> None:
    """With a twentieth of the devices, in each of four runs."""
    found = [
        exposed_until_harm(np.random.default_rng((SEED, run)), question, (bad, good), 0.05, most) for run in range(4)
    ]
    assert spread([one[1] for one in found], most)[0] == 1.0
    assert all(one[1] <= (one[10] or most) for one in found)

"""Shares of devices: which arm an event fell to, while shares of exposure change and trials are not over."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.plan.statistics.counts import Arm, Step
from muster.plan.statistics.rates import (
    harm_against_control,
    harm_against_limit,
    no_worse_than_control,
    no_worse_than_limit,
)

NEEDED = math.log(20)


@st.composite
def arms(draw: st.DrawFn) -> Arm:
    """Counts that can be."""
    tried = draw(st.integers(0, 2_000))
    concluded = draw(st.integers(0, tried))
    failed = draw(st.integers(0, concluded))
    return Arm(tried, concluded, failed, draw(st.integers(0, concluded - failed)), draw(st.integers(0, 50)))


steps = st.lists(st.builds(Step, arms(), arms()), min_size=1, max_size=4)
ratios = st.floats(0.2, 5)


@given(steps, ratios)
def test_a_failure_more_is_never_less_harm(counts: list[Step], ratio: float) -> None:
    """Of the candidate it raises evidence of harm and lowers that of no worse."""
    first = counts[0]
    tried = first.candidate + Arm(1, 1, 0)
    failed = first.candidate + Arm(1, 1, 1)
    held, worse = ([Step(arm, first.control), *counts[1:]] for arm in (tried, failed))
    assert harm_against_control(held, ratio) <= harm_against_control(worse, ratio) + 1e-9
    assert no_worse_than_control(worse, ratio) <= no_worse_than_control(held, ratio) + 1e-9
    assert harm_against_limit(tried, 0.01) < harm_against_limit(failed, 0.01)
    assert no_worse_than_limit(failed, 0.01) < no_worse_than_limit(tried, 0.01)


@given(steps, ratios)
def test_the_arms_mirror_each_other(counts: list[Step], ratio: float) -> None:
    """That A fails more than r times as often as B is that B fails less than 1/r times as often as A."""
    mirrored = [Step(step.control, step.candidate) for step in counts]
    assert harm_against_control(counts, ratio) == pytest.approx(no_worse_than_control(mirrored, 1 / ratio), abs=1e-6)


@given(steps, ratios, st.integers(1, 500))
def test_trials_that_are_not_over_prove_nothing(counts: list[Step], ratio: float, pending: int) -> None:
    """More of them make harm less certain, and leave no worse as it is; in the control the other way round."""
    waiting = Arm(pending)
    ours = [Step(step.candidate + waiting, step.control) for step in counts]
    theirs = [Step(step.candidate, step.control + waiting) for step in counts]
    assert harm_against_control(ours, ratio) <= harm_against_control(counts, ratio) + 1e-9
    assert no_worse_than_control(ours, ratio) == no_worse_than_control(counts, ratio)
    assert harm_against_control(theirs, ratio) == harm_against_control(counts, ratio)
    assert no_worse_than_control(theirs, ratio) <= no_worse_than_control(counts, ratio) + 1e-9


@given(steps, ratios, st.integers(1, 500), st.integers(0, 500), st.booleans())
def test_missing_reports_prove_nothing(counts: list[Step], ratio: float, missing: int, failed: int, ours: bool) -> None:
    """Whatever the missing ones of an arm would have reported, it were no less evidence of either claim."""
    silent, reported = Arm(missing, missing, 0, missing), Arm(missing, missing, min(failed, missing))
    without, with_ = ([_more(counts[0], arm, ours), *counts[1:]] for arm in (silent, reported))
    assert harm_against_control(without, ratio) <= harm_against_control(with_, ratio) + 1e-9
    assert no_worse_than_control(without, ratio) <= no_worse_than_control(with_, ratio) + 1e-9


def _more(step: Step, arm: Arm, ours: bool) -> Step:
    return Step(step.candidate + arm, step.control) if ours else Step(step.candidate, step.control + arm)


def test_a_control_that_never_failed_is_enough() -> None:
    """Zero baseline: five failures among 100 candidates, none among 1,900, is harm; none in either arm is not."""
    control = Arm(1_900, 1_900)
    assert harm_against_control([Step(Arm(100, 100, 5), control)], 1.5) > NEEDED
    assert harm_against_control([Step(Arm(100, 100, 0), control)], 1.5) <= 0


def test_the_floor_keeps_rare_failures_from_being_harm() -> None:
    """6 of 20,000 updates fail and nobody fails without one: harm, but not above a floor of 0.1 %."""
    counts = [Step(Arm(20_000, 20_000, 6), Arm(80_000, 80_000, 0))]
    assert harm_against_control(counts, 1.0) > NEEDED
    assert harm_against_control(counts, 1.0, 0.001) < 0
    assert no_worse_than_control(counts, 1.0, 0.001) > NEEDED


def test_evidence_of_a_narrow_step_is_not_lost_in_a_wide_one() -> None:
    """Read per step, the evidence is more than with both steps thrown together."""
    narrow, wide = Step(Arm(500, 500, 10), Arm(9_500, 9_500, 40)), Step(Arm(5_000, 5_000, 40), Arm(5_000, 5_000, 20))
    thrown = Step(narrow.candidate + wide.candidate, narrow.control + wide.control)
    assert harm_against_control([narrow, wide], 1.0) > harm_against_control([thrown], 1.0)


def play(seed: int, failing: float, order: str) -> tuple[float, float]:
    """Most evidence of harm and of no worse at 20 looks at 400 candidates and 1,600 controls that fail equally often.

    order: when trials begin. A failure ends its trial at once, everything else after a window of ten looks.
    """
    rng = np.random.default_rng(seed)
    begins = {
        "candidates late": (rng.integers(10, 30, 400), np.zeros(1_600)),
        "candidates early": (np.zeros(400), rng.integers(0, 30, 1_600)),
        "both all the time": (rng.integers(0, 30, 400), rng.integers(0, 30, 1_600)),
    }[order]
    fails = [rng.random(len(one)) < failing for one in begins]
    ends = [one + np.where(bad, 0, 10) for one, bad in zip(begins, fails, strict=True)]
    harm = no_worse = -math.inf
    for look in range(0, 41, 2):
        step = Step(
            *(
                Arm(int((begin <= look).sum()), int((end <= look).sum()), int((bad & (end <= look)).sum()))
                for begin, end, bad in zip(begins, ends, fails, strict=True)
            )
        )
        harm = max(harm, harm_against_control([step], 1.0))
        no_worse = max(no_worse, no_worse_than_control([step], 1.0))
    return harm, no_worse


@pytest.mark.parametrize("order", ["candidates late", "candidates early", "both all the time"])
@pytest.mark.parametrize("failing", [0.02, 0.3])
def test_equal_arms_are_told_apart_as_rarely_as_declared(order: str, failing: float) -> None:
    """In whatever order trials begin and end, at 20 looks: at most 5 % of 80 rollouts are called worse, or better."""
    played = [play(seed, failing, order) for seed in range(80)]
    assert sum(harm >= NEEDED for harm, _ in played) <= 4
    assert sum(no_worse >= NEEDED for _, no_worse in played) <= 4

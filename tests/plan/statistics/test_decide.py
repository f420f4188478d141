"""Verdicts: functions of counts alone, with their numbers, and the sentence that says what would change them."""

from __future__ import annotations

import json
from dataclasses import asdict
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.kinds.canonical import canonical_json
from muster.plan.buckets import bucket_of
from muster.plan.statistics.counts import Arm, Histogram, Step
from muster.plan.statistics.decide import decide
from muster.plan.statistics.explain import bounds, explain
from muster.plan.statistics.family import Terms, together
from muster.plan.statistics.questions import (
    Counts,
    MeanLimit,
    MeanMargin,
    QuantileLimit,
    QuantileMargin,
    Question,
    ShareLimit,
    ShareMargin,
    Shares,
    Values,
)
from muster.plan.statistics.sample_ratio import Part
from muster.plan.statistics.verdict import Verdict

TERMS = Terms()
GOOD = Arm(1_000, 1_000, 1)
BAD = Arm(1_000, 1_000, 60)
CONTROL = Arm(9_000, 9_000, 9)
VALUES = Values(Histogram(((bucket_of(20.0), 400),)), Histogram(((bucket_of(20.0), 900),)))
SLOW = Values(Histogram(((bucket_of(25.0), 400),)), Histogram(((bucket_of(20.0), 900),)))
SURE = Values(Histogram(((90, 400),)), Histogram(((90, 900),)))
LOST = (Part("candidate", 100, 500_000), Part("control", 900, 500_000))


def shares(*steps: Step) -> Shares:
    """Counts of steps."""
    return Shares(steps)


CASES: dict[str, tuple[Question, Counts, str]] = {
    "share within its limit": (ShareLimit(0.02), shares(Step(GOOD)), "no-worse"),
    "share beyond its limit": (ShareLimit(0.02), shares(Step(BAD)), "harm"),
    "share near its limit": (ShareLimit(0.02), shares(Step(Arm(1_000, 1_000, 20))), "undecided"),
    "nobody yet": (ShareLimit(0.02), Shares(), "undecided"),
    "worse than the control": (ShareMargin(1.5), shares(Step(BAD, CONTROL)), "harm"),
    "as good as the control": (ShareMargin(20.0), shares(Step(GOOD, CONTROL)), "no-worse"),
    "nobody to compare with": (ShareMargin(1.5), shares(Step(BAD)), "cannot-tell"),
    "nobody reported": (ShareLimit(0.02), shares(Step(Arm(500, 500, 0, 500))), "cannot-tell"),
    "too few reported": (ShareLimit(0.05), shares(Step(Arm(500, 500, 1, 100))), "cannot-tell"),
    "control reported nothing": (ShareMargin(1.5), shares(Step(BAD, Arm(900, 900, 0, 900))), "cannot-tell"),
    "more failed than tried": (ShareLimit(0.02), shares(Step(Arm(1, 1, 2))), "cannot-tell"),
    "question of another kind": (QuantileLimit(0.95, 20.0), shares(Step(GOOD)), "cannot-tell"),
    "latency within its limit": (QuantileLimit(0.95, 30.0), VALUES, "no-worse"),
    "latency beyond its limit": (QuantileLimit(0.95, 10.0), VALUES, "harm"),
    "slower than the control": (QuantileMargin(0.95, 1.1), SLOW, "harm"),
    "as fast as the control": (QuantileMargin(0.95, 1.1), VALUES, "no-worse"),
    "surer than its limit": (MeanLimit(0.8, higher_is_worse=False), SURE, "no-worse"),
    "less sure than its limit": (MeanLimit(0.95, higher_is_worse=False), SURE, "harm"),
    "as sure as the control": (MeanMargin(0.05, higher_is_worse=False), SURE, "no-worse"),
}


@pytest.mark.parametrize("case", CASES)
def test_outcomes(case: str) -> None:
    """Each of the four, for each kind of question; always with its numbers, and what would change it."""
    question, counts, outcome = CASES[case]
    verdict = decide(question, counts, TERMS)
    assert outcome == verdict.outcome
    assert verdict.reason
    assert verdict.lifted_by
    assert canonical_json(verdict.record())


def test_bounds_are_on_the_side_of_the_verdict() -> None:
    """Harm: all that is possible lies beyond the boundary. No worse: within it."""
    for question, counts, outcome in CASES.values():
        verdict = explain(question, counts, TERMS)
        assert (outcome, verdict.boundary) == (verdict.outcome, question.boundary)
        if outcome == "harm" and isinstance(question, MeanLimit):
            assert verdict.upper < verdict.boundary
        elif outcome == "harm":
            assert verdict.lower > verdict.boundary * 0.999
        if outcome == "no-worse" and not isinstance(question, MeanLimit):
            assert verdict.upper < verdict.boundary * 1.001
    assert bounds(ShareLimit(0.5), Shares(), TERMS) == (None, None)


def test_a_sample_ratio_that_fails_keeps_arms_from_being_compared() -> None:
    """Neither harm nor no worse against the control; harm against a fixed bound is still harm, no worse is not said."""
    compared = decide(ShareMargin(1.5), shares(Step(BAD, CONTROL)), TERMS, (LOST,))
    assert compared.outcome == "cannot-tell"
    assert "candidate: 100 of 1000 seen, offered 50 %" in compared.reason
    assert decide(ShareLimit(0.02), shares(Step(BAD)), TERMS, (LOST,)).outcome == "harm"
    assert decide(ShareLimit(0.02), shares(Step(GOOD)), TERMS, (LOST,)).outcome == "cannot-tell"


def test_a_trial_that_is_not_over_counts_for_neither() -> None:
    """Activated and silent so far: not failed for harm, not held for no worse."""
    assert decide(ShareLimit(0.02), shares(Step(Arm(5_000))), TERMS).outcome == "undecided"
    diluted = decide(ShareLimit(0.02), shares(Step(Arm(5_000, 1_000, 60))), TERMS)
    assert diluted.outcome == "undecided"
    assert "4000 trials not over" in diluted.reason


def test_enough_devices_must_have_shown_it() -> None:
    """With `min_devices`, neither claim is made on fewer."""
    terms = Terms(min_devices=1_001)
    assert decide(ShareLimit(0.02), shares(Step(GOOD)), terms).outcome == "undecided"
    assert decide(ShareLimit(0.02), shares(Step(BAD)), terms).outcome == "undecided"
    assert "1001 devices must have shown it" in decide(ShareLimit(0.02), shares(Step(GOOD)), terms).reason


def test_what_would_change_it_does() -> None:
    """Undecided on nobody: after as many devices as it says, and on fewer not."""
    verdict = explain(ShareLimit(0.02), Shares(), TERMS)
    assert verdict.lifted_by == "no worse after 180 more devices that hold, or harm after 2 more failures in a row"
    assert decide(ShareLimit(0.02), shares(Step(Arm(180, 180))), TERMS).outcome == "no-worse"
    assert decide(ShareLimit(0.02), shares(Step(Arm(178, 178))), TERMS).outcome == "undecided"
    assert decide(ShareLimit(0.02), shares(Step(Arm(2, 2, 2))), TERMS).outcome == "harm"
    assert decide(ShareLimit(0.02), shares(Step(Arm(1, 1, 1))), TERMS).outcome == "undecided"


Trial = tuple[int, bool, int, bool]
"""(step, in the candidate, 0 pending 1 held 2 failed 3 missing, recalled)"""
trials = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 3), st.booleans()), max_size=60)


def counted(reports: list[Trial]) -> Shares:
    """Counts of reports, one added after the other."""
    steps = [[Arm(), Arm()] for _ in range(3)]
    for step, candidate, end, recalled in reports:
        one = Arm(recalled=1) if recalled else Arm(1, int(end > 0), int(end == 2), int(end == 3))
        steps[step][0 if candidate else 1] += one
    return Shares(tuple(Step(*arms) for arms in steps))


@settings(max_examples=30)
@given(trials, st.integers(), st.sampled_from([ShareLimit(0.05), ShareMargin(1.2), ShareMargin(1.2, 0.01)]))
def test_the_same_reports_give_the_same_verdict(reports: list[Trial], seed: int, question: Question) -> None:
    """In any order, and after a restart that reads the counts back."""
    mixed = list(reports)
    Random(seed).shuffle(mixed)
    counts = counted(reports)
    read = json.loads(json.dumps(asdict(counts)))
    again = Shares(tuple(Step(Arm(**step["candidate"]), Arm(**step["control"])) for step in read["steps"]))
    decide.cache_clear()
    first = decide(question, counts, TERMS)
    decide.cache_clear()
    assert first == decide(question, counted(mixed), TERMS)
    decide.cache_clear()
    assert first == decide(question, again, TERMS)


@given(st.lists(st.integers(-3, 2**60), min_size=5, max_size=5), st.floats(), st.floats(allow_nan=True))
def test_no_counts_and_no_question_raise(numbers: list[int], boundary: float, share: float) -> None:
    """Whatever a metric source answers: a verdict, and a record that the ledger takes."""
    arm, histogram = Arm(*numbers), Histogram(((numbers[0], numbers[1]), (numbers[2] % 101, numbers[3])), numbers[4])
    for question in (ShareLimit(boundary), ShareMargin(boundary, share)):
        canonical_json(explain(question, Shares((Step(arm, arm),)), TERMS).record())
    for other in (MeanLimit(boundary), MeanMargin(boundary), QuantileLimit(share, boundary)):
        canonical_json(explain(other, Values(histogram, histogram), TERMS).record())


def verdict(outcome: str, harm: float, reason: str = "r") -> Verdict:
    """One answer."""
    return Verdict(outcome, reason, "", 0.0, harm=harm, no_worse=-harm)


def test_the_worst_stratum_decides() -> None:
    """Harm before what cannot be told, before undecided, before no worse."""
    terms = Terms(tests=4)
    good, open_ = verdict("no-worse", -3.0), verdict("undecided", 0.0)
    unknown, bad = verdict("cannot-tell", 0.0), verdict("harm", 9.0)
    assert together([good, open_, unknown, bad], terms) == bad
    assert together([good, open_, unknown], terms) == unknown
    assert together([good, open_], terms) == open_
    assert together([good, good], terms) == good
    assert together([], terms) is None


def test_several_that_are_nearly_harm_are_harm_together() -> None:
    """Four at 20 each reach 4/α on average; one alone needs 80. What cannot be told adds nothing."""
    terms = Terms(tests=4)
    near = [verdict("undecided", 3.0, name) for name in "abcd"]
    assert together(near, terms).outcome == "harm"
    assert together(near[:3], terms).outcome == "undecided"
    assert together([*near[:3], verdict("cannot-tell", 99.0)], terms).outcome == "cannot-tell"


def test_what_too_few_devices_showed_adds_nothing() -> None:
    """Each question has its own least number of devices, and its verdict says that they did not try yet."""
    question, counts = ShareLimit(0.05), shares(Step(Arm(6, 6, 3)))
    enough, few = (decide(question, counts, Terms(tests=8, min_devices=least)) for least in (6, 7))
    assert (enough.outcome, few.outcome) == ("undecided", "undecided")
    assert (enough.too_few, few.too_few) == (False, True)
    assert together([enough] * 8, Terms(tests=8)).outcome == "harm"
    assert together([few] * 8, Terms(tests=8)).outcome == "undecided"
    assert together([enough] + [few] * 7, Terms(tests=8)).outcome == "undecided"


def test_more_tests_need_more_evidence() -> None:
    """The declared error is shared: what halts alone is undecided among a hundred."""
    counts = shares(Step(Arm(1_000, 1_000, 38)))
    assert decide(ShareLimit(0.02), counts, Terms(tests=1)).outcome == "harm"
    assert decide(ShareLimit(0.02), counts, Terms(tests=100)).outcome == "undecided"
    assert decide(ShareLimit(0.02), counts, Terms(tests=100)).error_ppm == 500

"""What a release is compared with, and what a bound asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from gate_situations import (
    CLASS,
    NEW,
    OLD,
    against,
    case_of,
    edited,
    measurement,
    policy_with,
    share,
    verdict_of,
)

from fleets import make_class, make_release
from muster.check.change import difference
from muster.check.gates.decide import gate_verdicts
from muster.check.verdict import Outcome
from muster.kinds.evidence import Evidence

SOURCE, OF_OLD = NEW.spec.source.digest, OLD.spec.artifact.digest
NEVER_WORSE = {"metric": "accuracy", "comparator": ">=", "threshold": "1", "relativeTo": "superseded"}


def compared(
    both: int, this: int, baseline: int, total: int = 400, digest: str = OF_OLD, **camel_case: Any
) -> Evidence:
    """A measurement against the superseded release."""
    paired = {**against("superseded", digest, both, this, baseline, total), **camel_case}
    return measurement(share("accuracy", both + this, total, baselines=[paired]))


def unpaired(value: str) -> Evidence:
    baseline = {"of": "superseded", "digest": OF_OLD, "value": value}
    return measurement(share("accuracy", 380, 400, baselines=[baseline]))


BASELINES: Mapping[str, tuple[dict[str, Any], Evidence, Outcome]] = {
    "as good": (NEVER_WORSE, compared(380, 0, 0), "pass"),
    "one frame worse": (NEVER_WORSE, compared(380, 4, 5), "fail"),
    "one frame worse, within the sampling error": (
        NEVER_WORSE | {"bound": "upper", "minSamples": 250},
        compared(380, 4, 5),
        "pass",
    ),
    "so much worse that it is no chance": (
        NEVER_WORSE | {"bound": "upper", "minSamples": 250},
        compared(360, 1, 20),
        "fail",
    ),
    "not shown to be as good": (NEVER_WORSE | {"bound": "lower"}, compared(380, 4, 4), "inconclusive"),
    "shown to be better": (NEVER_WORSE | {"bound": "lower"}, compared(360, 30, 2), "pass"),
    "lenient bound of few samples": (
        NEVER_WORSE | {"bound": "upper", "minSamples": 250},
        compared(30, 0, 3, total=40),
        "inconclusive",
    ),
    "a value without pairs is compared as it is": (NEVER_WORSE, unpaired("0.95"), "pass"),
    "a value without pairs has no bound": (NEVER_WORSE | {"bound": "lower"}, unpaired("0.5"), "inconclusive"),
    "another release's baseline": (NEVER_WORSE, compared(380, 0, 0, digest=SOURCE), "error"),
    "pairs of another accuracy": (NEVER_WORSE, compared(380, 0, 0, onlyThis=20), "error"),
    "more pairs than frames": (NEVER_WORSE, compared(380, 0, 0, onlyBaseline=21), "error"),
    "a baseline of nothing": (NEVER_WORSE, unpaired("0"), "error"),
    "a baseline that is no share": (NEVER_WORSE, unpaired("1.5"), "error"),
    "no baseline": (NEVER_WORSE, measurement(share("accuracy", 380, 400)), "fail"),
}


@pytest.mark.parametrize("name", BASELINES)
def test_against_what_it_supersedes(name: str) -> None:
    """Never worse, with and without the sampling error, and never against another release."""
    gate, evidence, outcome = BASELINES[name]
    verdict = verdict_of(gate, [evidence])
    assert outcome == verdict.outcome, verdict.message


def test_a_protected_slice_is_judged_by_itself() -> None:
    """Good as a whole, worse in the slice: the gate of the slice fails and says which."""
    whole = share("accuracy", 380, 400, baselines=[against("superseded", OF_OLD, 380, 0, 0, 400)])
    dim = share("accuracy", 70, 100, slice="dim", baselines=[against("superseded", OF_OLD, 70, 0, 20, 100)])
    gates = policy_with({**NEVER_WORSE, "name": "whole"}, {**NEVER_WORSE, "slice": "dim"})
    found = list(gate_verdicts(case_of(gates, [measurement(whole, dim)])))
    assert [(verdict.slice, verdict.outcome) for verdict in found] == [(None, "pass"), ("dim", "fail")]


def test_the_first_release_of_a_model_has_nothing_to_be_worse_than() -> None:
    """Without anything older, the comparison passes and says why."""
    first = make_release("1.1.0", {"canary": "5%"}, classes=(CLASS,))
    verdict = verdict_of(NEVER_WORSE, [], release=first, before=[])
    assert (verdict.outcome, "first release" in verdict.message) == ("pass", True)


def test_superseding_nothing_does_not_escape_the_comparison() -> None:
    """A release that leaves `supersedes` out although older ones go to its classes fails."""
    release = make_release("1.1.0", {"canary": "5%"}, classes=(CLASS,))
    verdict = verdict_of(NEVER_WORSE, [compared(380, 0, 0)], release=release)
    assert (verdict.outcome, verdict.hint) == ("fail", "write supersedes: 1.0.0")


def test_an_old_and_bad_release_is_no_baseline() -> None:
    """A new release is compared with the newest that devices run, not with one of its choice."""
    running = make_release("1.0.5", {"fleet": "100%"}, classes=(CLASS,), supersedes="1.0.0")
    verdict = verdict_of(NEVER_WORSE, [compared(380, 0, 0)], before=[OLD, running])
    assert (verdict.outcome, verdict.hint.startswith("write supersedes: 1.0.5")) == ("fail", True)
    stopped = make_release("1.0.5", {"fleet": "0%"}, classes=(CLASS,), supersedes="1.0.0")
    assert verdict_of(NEVER_WORSE, [compared(380, 0, 0)], before=[OLD, stopped]).outcome == "pass"


def test_a_bad_release_that_nobody_runs_is_no_baseline() -> None:
    """Nor is one that was declared, or taken back, since what devices run: not even in the same change."""
    draft = make_release("1.0.9", {"canary": "0%"}, classes=(CLASS,), supersedes="1.0.0")
    lenient = edited(NEW, supersedes="1.0.9")
    against_draft = compared(380, 0, 0, digest=draft.spec.artifact.digest)
    verdict = verdict_of(NEVER_WORSE, [against_draft], release=lenient, before=[OLD, draft])
    assert (verdict.outcome, verdict.hint.startswith("write supersedes: 1.0.0")) == ("fail", True)


def test_a_new_release_below_all_others_is_no_first_one() -> None:
    """It would be what a rollback leads to, without having been compared with anything."""
    running = make_release("2.0.0", {"fleet": "100%"}, classes=(CLASS,))
    below = edited(NEW, supersedes=None)
    verdict = verdict_of(NEVER_WORSE, [], release=below, before=[running])
    assert (verdict.outcome, verdict.hint.startswith("give it a version above 2.0.0")) == ("fail", True)


def test_a_superseded_release_that_is_gone_is_an_error() -> None:
    """Nobody can tell what it was."""
    assert verdict_of(NEVER_WORSE, [compared(380, 0, 0)], before=[]).outcome == "error"


def test_budgets_of_a_known_class_are_those_of_the_base() -> None:
    """A change is not judged by a budget that it raises itself."""
    gate = {"metric": "artifact-size", "comparator": "<=", "threshold": "0.0009", "relativeTo": "budget"}
    case = case_of(policy_with(gate))
    found = make_class(CLASS)
    budgets = found.spec.budgets.model_copy(update={"storage": 2**40})
    roomy = found.model_copy(update={"spec": found.spec.model_copy(update={"budgets": budgets})})
    head = replace(case.change.head, device_classes=(roomy,))
    raised = replace(case, change=difference(case.change.base, head, ()))
    assert [verdict.outcome for verdict in gate_verdicts(raised)] == ["fail"]


def test_the_tier_of_the_model_counts_if_the_release_lowers_it() -> None:
    """A release in a lower tier than its model is asked what the model's tier asks."""
    release = edited(NEW, tier="research")
    verdict = verdict_of(NEVER_WORSE, [compared(380, 4, 5)], release=release)
    assert (verdict.tier, verdict.outcome) == ("production", "fail")


def test_without_the_tier_in_the_base_nothing_can_be_judged() -> None:
    """A tier that the base does not declare is an error that blocks, not a release without gates."""
    (verdict,) = gate_verdicts(case_of(policy_with(NEVER_WORSE, tier="research")))
    assert (verdict.rule, verdict.outcome, verdict.blocks) == ("gate/tier", "error", True)


def test_the_policy_of_the_head_is_not_asked() -> None:
    """A change that drops the gates in its own policy is judged by the old ones."""
    case = case_of(policy_with(NEVER_WORSE))
    head = replace(case.change.head, policies=(policy_with(),))
    lenient = replace(case, change=difference(case.change.base, head, ()))
    assert [verdict.outcome for verdict in gate_verdicts(lenient)] == ["fail"]


def test_a_gate_for_another_model_or_class_is_not_asked() -> None:
    """`model` and `deviceClass` narrow a gate."""
    fits = {"metric": "compatibility", "comparator": "==", "threshold": "1"}
    policy = policy_with(
        {**fits, "name": "other-model", "model": "other"}, {**fits, "name": "other-class", "deviceClass": "cam-edge"}
    )
    assert list(gate_verdicts(case_of(policy))) == []


def test_a_gate_that_means_nothing_is_an_error() -> None:
    """Though the base may have been merged without the check: it never passes."""
    verdict = verdict_of({"metric": "accuracy", "comparator": "<=", "threshold": "1"}, [compared(380, 0, 0)])
    assert (verdict.outcome, verdict.blocks) == ("error", True)


def test_a_gate_may_warn() -> None:
    """Severity is the gate's; a verdict that warns does not block."""
    verdict = verdict_of(NEVER_WORSE | {"severity": "warn"}, [])
    assert (verdict.outcome, verdict.warns, verdict.blocks) == ("fail", True, False)


def test_what_is_measured_is_shown_with_its_unit() -> None:
    """Value, baseline and threshold as people write them."""
    gate = {"metric": "p95-latency", "comparator": "<=", "threshold": "1", "relativeTo": "budget"}
    result = {"metric": "p95-latency", "value": "8250.5", "deviceClass": CLASS}
    verdict = verdict_of(gate, [measurement(result)])
    assert verdict.measured == "0.82505 (8.2505ms over the budget of 10ms)"
    assert verdict.threshold == "<= 1 of the budget"


GAP = {"metric": "fairness-gap", "comparator": "<=", "threshold": "0.1", "bound": "upper"}
GAPS: Mapping[str, tuple[tuple[tuple[int, int], ...], Outcome]] = {
    "close, and enough frames to tell": (((950, 1000), (940, 1000), (930, 1000)), "pass"),
    "close, and too few frames to tell": (((19, 20), (19, 20)), "inconclusive"),
    "apart beyond all chance": (((950, 1000), (700, 1000), (940, 1000)), "fail"),
    "one slice alone": (((950, 1000),), "inconclusive"),
}


@pytest.mark.parametrize("name", GAPS)
def test_the_sampling_error_of_a_gap_counts(name: str) -> None:
    """With `upper`, slices are shown to lie close together."""
    counts, outcome = GAPS[name]
    slices = [share("accuracy", *count, slice=f"s{number}") for number, count in enumerate(counts)]
    verdict = verdict_of(GAP, [measurement(*slices)])
    assert outcome == verdict.outcome, verdict.message


def test_a_slice_that_is_too_small_is_not_left_out_in_silence() -> None:
    """It holds the gate up by name; and where the others fail already, they fail."""
    gate = {"metric": "fairness-gap", "comparator": "<=", "threshold": "0.1", "minSamples": 50}
    small = share("accuracy", 2, 10, slice="cellar")
    close = [share("accuracy", 95, 100, slice="a"), share("accuracy", 94, 100, slice="b")]
    verdict = verdict_of(gate, [measurement(*close, small)])
    assert (verdict.outcome, "cellar" in verdict.message) == ("inconclusive", True)
    apart = [share("accuracy", 95, 100, slice="a"), share("accuracy", 74, 100, slice="b")]
    assert verdict_of(gate, [measurement(*apart, small)]).outcome == "fail"


BOUNDED = {"metric": "p95-latency", "comparator": "<=", "threshold": "10ms", "bound": "upper"}


@pytest.mark.parametrize(
    ("confidence", "outcome"), [("0.95", "pass"), ("0.99", "pass"), ("0.9", "inconclusive"), ("1", "inconclusive")]
)
def test_bounds_count_only_at_95_percent_or_more(confidence: str, outcome: Outcome) -> None:
    """Whoever measured says how sure they are; nobody is ever wholly sure."""
    result = {"metric": "p95-latency", "value": "8000", "lower": "7000", "upper": "9000", "confidence": confidence}
    assert verdict_of(BOUNDED, [measurement({**result, "deviceClass": CLASS})]).outcome == outcome


def test_a_figure_from_another_runtime_version_does_not_count() -> None:
    """What the class will run is what must have been measured."""
    gate = {"metric": "p95-latency", "comparator": "<=", "threshold": "10ms"}
    result = {"metric": "p95-latency", "value": "8000", "deviceClass": CLASS}
    for version, outcome in (("1.31.1", "pass"), ("1.30.0", "fail")):
        environment = {"environment": {"onnxruntime": version}}
        assert verdict_of(gate, [measurement(result, predicate=environment)]).outcome == outcome

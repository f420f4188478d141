"""The pure rules: what to do next, when to ask, and whether a trial is well."""

from __future__ import annotations

import functools

import pytest
from agent_simulator import CLASS_NAME, MODEL_NAME, Built, build
from hypothesis import given
from hypothesis import strategies as st

from muster.agent.decide import Keep, Return, Stage, decide
from muster.agent.health import MIN_ANSWERS, Healthy, Unhealthy, Waiting, Window, judge
from muster.agent.journal import ModelState, Slot, Trial
from muster.agent.schedule import LONGEST, next_poll, phase
from muster.agent.statistics import Figures
from muster.kinds.cohort import Selector
from muster.kinds.desired import DesiredDocument, Halt, OrderedCohort
from muster.kinds.digest import digest_of
from muster.kinds.drift import DriftRules, Known


@functools.cache
def _built(version: str) -> Built:
    return build(version, sharpness=8 + int(version.split(".")[1]) / 10)


def _slot(version: str | None) -> Slot | None:
    return Slot(entry=_built(version).entry(1), manifest=digest_of(b"")) if version else None


def _document(offered: list[str], halted: list[str], since: int = 1) -> DesiredDocument:
    return DesiredDocument(
        model=MODEL_NAME,
        device_class=CLASS_NAME,
        generation=9,
        commit="0" * 40,
        poll_interval="30s",
        cohorts=(OrderedCohort(name="all", selector=Selector()),),
        entries=tuple(_built(version).entry(since) for version in offered),
        halted=tuple(
            Halt(release=_built(version).release, artifact=_built(version).artifact, reason="x") for version in halted
        ),
    )


VERSIONS = ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]
_some = st.one_of(st.none(), st.sampled_from(VERSIONS))


@given(
    slots=st.tuples(_some, _some, _some),
    offered=st.lists(st.sampled_from(VERSIONS), unique=True, max_size=3),
    halted=st.lists(st.sampled_from(VERSIONS), unique=True, max_size=3),
    failed=st.lists(st.sampled_from(VERSIONS), unique=True, max_size=2),
)
def test_a_decision_never_runs_what_is_halted_or_quarantined_and_never_fetches_what_is_kept(
    slots: tuple[str | None, str | None, str | None], offered: list[str], halted: list[str], failed: list[str]
) -> None:
    """Whatever the state and the document are."""
    confirmed, previous, trial = map(_slot, slots)
    state = ModelState(
        confirmed=confirmed,
        previous=previous,
        trial=Trial(slot=trial) if trial else None,
        quarantine={_built(version).artifact: 3 for version in failed},
    )
    match decide(state, _document(offered, halted), "d", {}):
        case Stage(entry):
            assert entry.version not in [*halted, *failed]
            assert entry.artifact.digest not in {slot.artifact for slot in (confirmed, previous) if slot}
            assert entry.version in offered
        case Return(slot):
            assert slot in (confirmed, previous)
            assert slot.entry.version not in halted
        case Keep(problem):
            best = next((version for version in offered if version not in [*halted, *failed]), None)
            assert (best is None) == (problem is not None)


def test_a_quarantine_ends_where_the_entry_came_back() -> None:
    """At a generation above the one it failed at, not at it."""
    state = ModelState(quarantine={_built("1.1.0").artifact: 5})
    assert Keep("quarantined") == decide(state, _document(["1.1.0"], [], since=5), "d", {})
    assert isinstance(decide(state, _document(["1.1.0"], [], since=6), "d", {}), Stage)


def test_a_newer_kept_slot_is_no_refuge() -> None:
    """It is kept because it was recalled: a halt does not lead back into it."""
    state = ModelState(confirmed=_slot("1.0.0"), previous=_slot("1.1.0"))
    assert isinstance(decide(state, _document([], ["1.0.0"]), "d", {}), Keep)


@pytest.mark.parametrize(
    ("answers", "confident", "errors", "now", "camera", "expected"),
    [
        (0, 0, 0, 59.9, True, Waiting),
        (1_000, 0, 0, 59.9, True, Waiting),
        (0, 0, 1, 0.0, True, Unhealthy),
        (MIN_ANSWERS - 1, MIN_ANSWERS - 1, 0, 600.0, True, Waiting),
        (100, 90, 0, 60.0, True, Healthy),
        (100, 89, 0, 60.0, True, Unhealthy),
        (0, 0, 0, 60.0, False, Healthy),
        (0, 0, 1, 60.0, False, Unhealthy),
    ],
)
def test_the_health_window(answers, confident, errors, now, camera, expected) -> None:
    """Errors at once; the share at the end, over enough frames; without a camera the share says nothing."""
    window = Window(began=0.0, length=60.0, min_confident=900_000, has_camera=camera)
    figures = Figures(answers, confident, errors, None, None, None)
    assert isinstance(judge(window, figures, now), expected)


@given(
    now=st.floats(0, 4e9),
    interval=st.floats(0.05, 86_400),
    place=st.floats(0, 1, exclude_max=True),
    failures=st.integers(0, 1_000),
    retry_after=st.floats(0, 3_600),
)
def test_the_next_poll_is_at_the_devices_place_and_not_too_early(now, interval, place, failures, retry_after) -> None:
    """After the pause that was earned or asked for, and within one interval of its end."""
    found = next_poll(now, interval, place, failures=failures, retry_after=retry_after)
    pause = min(interval * 2 ** min(failures - 1, 4) if failures else 0, max(LONGEST, interval))
    earliest = now + max(pause, retry_after)
    slack = max(interval, 1) * 1e-5 + 1e-5
    assert earliest - slack <= found <= earliest + interval + slack
    assert found > now


def test_a_fleet_that_comes_back_together_spreads_out() -> None:
    """A thousand devices after an outage: no tenth of the interval gets much more than a tenth of the polls."""
    slots = [0] * 10
    for number in range(1_000):
        due = next_poll(1_000_000.0, 300.0, phase(f"device-{number}"), failures=5)
        slots[int((due % 300.0) / 30.0)] += 1
    assert max(slots) < 150


@pytest.mark.parametrize(("action", "expected"), [("Correct", Stage), ("Warn", Keep("undeclared")), ("Ignore", Keep())])
def test_what_was_never_declared_is_kept_where_the_class_says_so(action: str, expected: object) -> None:
    """The device judges by the rules that came with the document; what is declared it follows in any case."""
    known = _built("1.1.0").entry(1)
    rules = DriftRules(action=action, known=(Known(model_hash=known.model_hash, config_version=known.config_version),))
    document = _document(["1.1.0"], []).model_copy(update={"drift": rules})
    found = decide(ModelState(confirmed=_slot("1.0.0")), document, "d", {})
    assert isinstance(found, Stage) if expected is Stage else found == expected
    lagging = rules.model_copy(update={"known": (*rules.known, _known("1.0.0"))})
    assert isinstance(
        decide(ModelState(confirmed=_slot("1.0.0")), document.model_copy(update={"drift": lagging}), "d", {}), Stage
    )


def _known(version: str) -> Known:
    entry = _built(version).entry(1)
    return Known(model_hash=entry.model_hash, config_version=entry.config_version)

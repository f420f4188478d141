"""What a DDI client should do next, for every history: ids only rise, nothing is offered twice in vain."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from fleets import MODEL, make_release, pin
from muster.kinds.cohort import Selector
from muster.kinds.ddi_feedback import CANCEL_ANSWERS, MEANINGS, Meaning
from muster.kinds.desired import DesiredDocument, Entry, Halt, OrderedCohort
from muster.kinds.maintenance import MaintenanceWindow
from muster.kinds.phases import TRANSITIONS
from muster.plan.assignment import choose, in_share
from muster.plan.ddi import (
    CANCEL_PATIENCE,
    LARGEST_ID,
    Action,
    Cancel,
    Deploy,
    Who,
    failures,
    last_installed,
    next_step,
    sleep,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WHO = Who("dev-1", {})
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")
PACKAGED = [pin(f"artifact {version}") for version in VERSIONS]


def entry(version: str, since: int, ppm: int = 1_000_000) -> Entry:
    release = make_release(version, {"fleet": "100%"})
    return Entry(
        release=release.name,
        version=version,
        since=since,
        artifact=release.spec.artifact,
        model_hash=pin("model"),
        config_version=pin("config"),
        runtime_version="1.31.1",
        provider="CPUExecutionProvider",
        health_window="10m",
        salt=release.name,
        ppm={"fleet": ppm},
    )


def document(generation: int, *entries: Entry, halted: tuple[Halt, ...] = (), model: str = MODEL) -> DesiredDocument:
    return DesiredDocument(
        model=model,
        device_class="cam-lowlight",
        generation=generation,
        commit="0" * 40,
        poll_interval="5m",
        cohorts=(OrderedCohort(name="fleet", selector=Selector()),),
        entries=entries,
        halted=halted,
    )


def action(
    action_id: int, version: str, state: str = "installed", since: int | None = None, phase: str = "activated"
) -> Action:
    name = f"{MODEL}/{version}"
    return Action(action_id, MODEL, name, pin(f"artifact {version}"), since or action_id, action_id, state, phase, NOW)


def step(documents: list[DesiredDocument], *actions: Action, now: datetime = NOW) -> Deploy | Cancel | None:
    return next_step(documents, WHO, actions, PACKAGED, now)


def test_the_first_action_is_the_generation_of_the_release() -> None:
    """Without history the id is where the release came on offer, whatever the document's generation is by now."""
    found = step([document(9, entry("1.0.0", 4))])
    assert isinstance(found, Deploy)
    assert (found.action_id, found.generation) == (4, 9)


def test_what_is_installed_is_not_offered() -> None:
    """Nor is what has no package, or what no client could name."""
    offer = document(4, entry("1.0.0", 4))
    assert step([offer], action(4, "1.0.0")) is None
    assert next_step([offer], WHO, (), (), NOW) is None
    assert step([document(2**40, entry("1.0.0", LARGEST_ID + 1))]) is None


def test_an_open_action_goes_on_while_its_artifact_is_wanted() -> None:
    """A wider share or another entry beside it changes no id under way."""
    begun = action(4, "1.0.0", "open")
    found = step([document(7, entry("1.0.0", 4), entry("1.1.0", 7, ppm=0))], begun)
    assert isinstance(found, Deploy)
    assert found.action_id == 4


def test_an_open_action_that_is_not_wanted_is_cancelled_then_passed_over() -> None:
    """For as long as patience lasts since the client's last word; then what is wanted is offered under a higher id."""
    begun = action(4, "1.1.0", "open")
    offer = [document(5, entry("1.0.0", 2), halted=(Halt(release="x", artifact=PACKAGED[1], reason="harm"),))]
    assert step(offer, action(2, "1.0.0"), begun) == Cancel(4)
    later = step(offer, action(2, "1.0.0"), begun, now=NOW + CANCEL_PATIENCE)
    assert isinstance(later, Deploy)
    assert (later.action_id, later.entry.version) == (5, "1.0.0"), "what is on the disk is not known any more"


def test_a_cancelled_action_leaves_what_was_there() -> None:
    """The client gave it up, so that nothing is installed again."""
    assert step([document(5, entry("1.0.0", 2))], action(2, "1.0.0"), action(4, "1.1.0", "cancelled")) is None


def test_a_failure_counts_until_the_release_is_named_anew() -> None:
    """As the quarantine of the agent; meanwhile the entry below is installed, even for the second time."""
    history = action(2, "1.0.0"), action(4, "1.1.0", "failed")
    found = step([document(5, entry("1.1.0", 4), entry("1.0.0", 2))], *history)
    assert isinstance(found, Deploy)
    assert (found.entry.version, found.action_id) == ("1.0.0", 5)
    anew = step([document(6, entry("1.1.0", 6), entry("1.0.0", 2))], *history)
    assert isinstance(anew, Deploy)
    assert (anew.entry.version, anew.action_id) == ("1.1.0", 6)


def test_the_way_back_is_tried_again() -> None:
    """A release that was confirmed on the device is not given up because its package did not arrive once more."""
    offer = [document(5, entry("1.0.0", 2))]
    confirmed, newer = action(2, "1.0.0", phase="healthy"), action(4, "1.1.0")
    lost = action(5, "1.0.0", "failed", since=2, phase="failed")
    found = step(offer, confirmed, newer, lost)
    assert isinstance(found, Deploy)
    assert (found.entry.version, found.action_id) == ("1.0.0", 6)
    assert step(offer, action(2, "1.0.0"), newer, lost) is None, "it was never confirmed"
    harmful = replace(lost, phase="rolled-back")
    assert step(offer, confirmed, newer, harmful) is None, "it ran again, and did harm"


def test_models_come_one_after_the_other() -> None:
    """One action at a time; the second model's id is above the first's."""
    two = [document(3, entry("1.0.0", 3)), document(3, entry("1.1.0", 3), model="other")]
    first = step(two)
    assert isinstance(first, Deploy)
    second = step(two, replace(action(3, "1.0.0"), model=first.model))
    assert isinstance(second, Deploy)
    assert (first.model, second.model, second.action_id) == (MODEL, "other", 4)


def test_a_newer_release_waits_for_the_window_and_what_is_urgent_does_not() -> None:
    """On the clocks of the device; a first installation, a way back and the end of a halted release never wait."""
    window = MaintenanceWindow.model_validate({"from": "02:00", "to": "04:00"})
    two = document(3, entry("1.1.0", 3)).model_copy(update={"maintenance": (window,)})
    tokyo = replace(WHO, zone=ZoneInfo("Asia/Tokyo"))
    running = (action(2, "1.0.0"),)
    assert next_step([two], WHO, running, PACKAGED, NOW) is None, "midnight by UTC"
    assert isinstance(next_step([two], WHO, running, PACKAGED, NOW + timedelta(hours=2)), Deploy)
    assert next_step([two], tokyo, running, PACKAGED, NOW + timedelta(hours=2)) is None
    assert isinstance(next_step([two], tokyo, running, PACKAGED, NOW + timedelta(hours=17)), Deploy)
    assert isinstance(next_step([two], WHO, (), PACKAGED, NOW), Deploy)
    assert isinstance(next_step([two], WHO, (action(2, "1.2.0"),), PACKAGED, NOW), Deploy)
    harm = Halt(release=f"{MODEL}/1.0.0", artifact=PACKAGED[0], reason="harm")
    halted = two.model_copy(update={"halted": (harm,)})
    assert isinstance(next_step([halted], WHO, running, PACKAGED, NOW), Deploy)


offers = st.lists(st.tuples(st.sampled_from(VERSIONS), st.integers(0, 1_000_000)), max_size=3, unique_by=lambda o: o[0])
Story = list[tuple[list[tuple[str, int]], str]]
ends = st.sampled_from(["installed", "failed", "cancelled", "open"])


@given(st.lists(st.tuples(offers, ends), max_size=8), st.sampled_from(["dev-1", "dev-2", "dev-77"]))
def test_ids_rise_and_the_offer_is_what_an_agent_would_take(
    story: list[tuple[list[tuple[str, int]], str]], device_id: str
) -> None:
    """Whatever is published and however each action ends: the native choice; ids never repeat."""
    actions: list[Action] = []
    for generation, (published, end) in enumerate(story, 1):
        entries = tuple(entry(version, generation, ppm) for version, ppm in sorted(published, reverse=True))
        offer = document(generation, *entries)
        found = next_step([offer], Who(device_id, {}), actions, PACKAGED, NOW + timedelta(days=generation))
        wanted = choose(offer, device_id, {})
        if not isinstance(found, Deploy):
            assert wanted is None or last_installed(actions, MODEL).artifact == wanted.artifact.digest
            continue
        assert in_share(found.entry.salt, device_id, found.entry.ppm["fleet"])
        assert wanted == found.entry, "since rises with every generation here, so that nothing is in quarantine"
        again = bool(actions) and actions[-1].action_id == found.action_id
        if again:
            assert (actions[-1].state, actions[-1].artifact) == ("open", found.entry.artifact.digest)
            actions.pop()
        actions.append(action(found.action_id, found.entry.version, end, found.entry.since))
    ids = [one.action_id for one in actions]
    assert ids == sorted(set(ids))
    assert set(failures(actions)) == {one.artifact for one in actions if one.state == "failed"}


def test_every_feedback_means_something_in_the_table_of_phases() -> None:
    """Both tables are total, and no feedback leads to a phase that the one table does not know, or to health."""
    reached = set(TRANSITIONS.values())
    assert len(MEANINGS) == len(CANCEL_ANSWERS) == 24
    for meaning in MEANINGS.values():
        assert meaning.phase is None or meaning.phase in reached
        assert meaning.phase not in ("confirmed", "healthy")
    assert MEANINGS["closed", "none"] == MEANINGS["closed", "success"] == Meaning("installed", "activated")
    assert {key for key, state in CANCEL_ANSWERS.items() if state != "open"} == {
        ("closed", "success"),
        ("closed", "none"),
    }


def test_the_pause_of_a_device_is_its_own_and_bounded() -> None:
    """±10 % of the interval, spread over a fleet; a day and more cannot be told, a second is the least."""
    pauses = [sleep(f"dev-{n}", timedelta(minutes=5)).total_seconds() for n in range(500)]
    assert pauses == [sleep(f"dev-{n}", timedelta(minutes=5)).total_seconds() for n in range(500)]
    assert 270 <= min(pauses) < 280
    assert 320 < max(pauses) <= 330
    for interval, expected in ((timedelta(days=3), 86_399), (timedelta(milliseconds=1), 1)):
        assert sleep("dev-1", interval).total_seconds() == expected
    assert not any(a == b for a, b in itertools.pairwise(sorted(set(pauses))))

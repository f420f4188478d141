"""What a controller tells of its field, and how a hostile answer is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers import EVERYONE, Scene
from muster.artifacts.store import Store
from muster.daemon import Controller
from muster.kinds.errors import TryAgain, Unusable
from muster.kinds.field_state import FieldState, GuardrailFact, Step
from muster.observe.status import write_status
from muster.observe.storage import writing
from muster.serve.client import ControllerClient
from muster.serve.field_answer import FieldAnswer, read_field_answer
from muster.serve.field_view import COUNTS_KEPT_SECONDS, FieldView
from sites import Site

NEW, OLD = "meter-reader/1.1.0", "meter-reader/1.0.0"
PATIENCE = timedelta(minutes=5)
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
STATE = FieldState(
    at=AT,
    devices={("cam-day", "canary"): 3, ("cam-day", "fleet"): 4_000_000_000},
    guardrails={NEW: (GuardrailFact("cam-day", "failures", "no-worse", "0 of 3 failed"),)},
    steps={(NEW, "canary"): Step(50_000, AT - timedelta(days=1))},
    stored=frozenset({"sha256:" + "0" * 64}),
    suspended=frozenset({OLD}),
)


class Clock:
    """Seconds that tests move by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def view_of(scene: Scene, controller: Controller, clock: Clock | None = None) -> FieldView:
    """What the server would ask."""
    store = Store(scene.state / "store")
    return FieldView(controller.engine, controller.publisher.published, store, PATIENCE, clock or Clock())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """1.0.0 everywhere."""
    scene = Scene.set(tmp_path)
    scene.commit_release("1.0.0", EVERYONE)
    return scene


def test_steps_and_artifacts_are_those_of_a_real_rollout(scene: Scene) -> None:
    """Since when each percentage is published, through ticks that change other things; artifacts from the store."""
    controller = scene.controller()
    first = scene.now
    scene.tick(controller)
    scene.commit_release("1.1.0", {"canary": "5%"})
    second = scene.now
    scene.tick(controller)
    for _ in range(3):
        scene.tick(controller)

    found = view_of(scene, controller).state(scene.now)

    assert found.at == scene.now - timedelta(seconds=30)
    assert found.steps == {
        (OLD, "canary"): Step(1_000_000, first, 1),
        (OLD, "fleet"): Step(1_000_000, first, 1),
        (NEW, "canary"): Step(50_000, second, 2),
    }
    artifacts = {
        document.entries[0].artifact.digest for document in controller.publisher.published().documents.values()
    }
    assert artifacts < found.stored
    assert len(found.stored) == 2
    controller.close()


def test_devices_and_guardrails_are_told(scene: Scene) -> None:
    """Devices by class and cohort; the loop's own verdicts on what is on offer; what it suspended."""
    controller = scene.controller()
    scene.tick(controller)
    scene.commit_release("1.1.0", EVERYONE)
    scene.tick(controller)
    for number in range(20):
        scene.report(controller, f"d{number}", "cam-day", "1.1.0", "healthy", None)
    scene.tick(controller)
    view = view_of(scene, controller)

    before = view.state(scene.now)

    assert before.devices == {("cam-day", "fleet"): 20}
    (day,) = [fact for fact in before.guardrails[NEW] if fact.device_class == "cam-day"]
    assert (day.guardrail, day.outcome) == ("failures", "no-worse")
    assert before.suspended == frozenset()

    for number in range(20, 50):
        scene.report(controller, f"d{number}", "cam-day", "1.1.0", "failed", "load_failed")
    controller.tick(scene.now)
    after = view.state(scene.now)

    assert after.suspended == {NEW}
    assert (NEW, "fleet") not in after.steps
    assert after.devices == before.devices
    controller.close()


def test_counts_are_kept_for_a_minute(scene: Scene) -> None:
    """They cost a pass over all devices, and nobody needs them fresher."""
    controller, clock = scene.controller(), Clock()
    scene.tick(controller)
    view = view_of(scene, controller, clock)
    assert view.state(scene.now).devices == {}
    scene.report(controller, "d0", "cam-day", "1.0.0", "healthy", None)

    clock.seconds = COUNTS_KEPT_SECONDS - 1
    assert view.state(scene.now).devices == {}
    clock.seconds = COUNTS_KEPT_SECONDS
    assert view.state(scene.now).devices == {("cam-day", "fleet"): 1}
    controller.close()


def test_a_loop_that_is_late_tells_nothing(scene: Scene) -> None:
    """Its verdicts are those of another time; before the first tick there are none."""
    controller = scene.controller()
    view = view_of(scene, controller)
    with pytest.raises(TryAgain, match="yet"):
        view.state(scene.now)
    scene.tick(controller)
    view.state(scene.now)
    with pytest.raises(TryAgain, match="since 2026-01-01 00:00 UTC"):
        view.state(scene.now + timedelta(hours=1))
    controller.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "state")
    site.start()
    yield site
    site.stop()


def test_the_client_reads_what_the_server_says(site: Site) -> None:
    """Over HTTP, with the operator token; 401 without, 503 while the loop has said nothing."""
    client = ControllerClient(site.url, site.state)
    assert site.ask("GET", "/v1/field")[0] == 401
    with pytest.raises(TryAgain, match="has not finished a tick yet"):
        client.field_state()

    now = datetime.now(UTC)
    verdict = {"release": NEW, "deviceClass": "cam-day", "guardrail": "failures", "outcome": "harm", "reason": "3 of 4"}
    verdict["severity"] = "halt"
    with writing(site.engine) as connection:
        write_status(connection, "loop", {"at": now.isoformat(), "ready": True, "reason": "fine"}, now)
        write_status(connection, "plan", {"verdicts": [verdict]}, now)
    found = client.field_state()

    assert found == FieldState(at=now, guardrails={NEW: (GuardrailFact("cam-day", "failures", "harm", "3 of 4"),)})


def test_an_answer_reads_back_as_what_it_says() -> None:
    """Both ends share one shape."""
    body = FieldAnswer.of(STATE).model_dump_json().encode()

    assert read_field_answer(body) == STATE
    assert set(json.loads(body)) == {"at", "devices", "guardrails", "steps", "stored", "suspended"}
    assert read_field_answer(FieldAnswer.of(FieldState(AT)).model_dump_json().encode()) == FieldState(AT)


def changed(path: list[Any], value: Any) -> bytes:
    """The answer with one value replaced, or added."""
    body = json.loads(FieldAnswer.of(STATE).model_dump_json())
    place = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("nothing", b""),
        ("not JSON", b"<html>"),
        ("a list", b"[]"),
        ("another object", b"{}"),
        ("deep", b"[" * 100_000),
        ("a number as text", changed(["devices", 0, "count"], "3")),
        ("below nothing", changed(["devices", 0, "count"], -1)),
        ("more than all", changed(["steps", 0, "ppm"], 1_000_001)),
        ("a time without a zone", changed(["steps", 0, "since"], "2026-03-02T12:00:00")),
        ("no time", changed(["at"], "soon")),
        ("a name with an escape", changed(["guardrails", 0, "guardrail"], "\x1b[31mred")),
        ("another outcome", changed(["guardrails", 0, "outcome"], "fine")),
        ("a release that is none", changed(["suspended", 0], "../../etc")),
        ("a digest that is none", changed(["stored", 0], "sha256:0")),
        ("a key that nobody knows", changed(["\x1b[31m"], 1)),
        ("a long reason", changed(["guardrails", 0, "reason"], "x" * 2_001)),
        ("too many", changed(["suspended"], [OLD] * 200_001)),
    ],
)
def test_a_hostile_answer_is_unusable(name: str, body: bytes) -> None:
    """No traceback, and nothing of it on the terminal."""
    with pytest.raises(Unusable) as refused:
        read_field_answer(body)

    assert refused.value.message.isprintable(), name
    assert len(refused.value.message) < 300


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_an_answer_or_unusable(body: bytes) -> None:
    """Nothing else comes out."""
    with pytest.raises(Unusable):
        read_field_answer(body)


def test_a_reason_is_cut_to_what_can_be_read() -> None:
    """A guardrail may have met any number of error codes."""
    long = replace(STATE, guardrails={NEW: (GuardrailFact("cam-day", "failures", "harm", "E" * 5_000),)})

    (fact,) = read_field_answer(FieldAnswer.of(long).model_dump_json().encode()).guardrails[NEW]

    assert fact.reason == "E" * 2_000

"""Drift, through a whole controller: reports come in, a tick later it is counted, shown, recorded and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from controllers import EVERYONE, Scene
from fleets import MODEL, make_class, pin
from muster.apply import ledger
from muster.daemon import Controller
from muster.observe import drift
from muster.observe.status import read_status
from muster.observe.storage import running, writing
from muster.plan.drift import Runs
from muster.serve.fleet_view import FleetView
from scratch_repository import commit_all

FOREIGN = pin("factory image")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene.set(tmp_path)


def runs(controller: Controller, device_id: str, device_class: str = "cam-day", **changed: Any) -> None:
    """A device says what it runs; 1.0.0 unless told otherwise."""
    with controller.engine.connect() as connection:
        pins = read_status(connection, "releases")[f"{MODEL}/1.0.0"]
    said = {"model_hash": pins["model_hash"], "config_version": pins["config_version"], "runtime_version": "1.31.1"}
    row = {"device_id": device_id, "model": MODEL, "device_class": device_class, "generation": 1, "reported_at": ""}
    with writing(controller.engine) as connection:
        connection.execute(insert(running).prefix_with("OR REPLACE").values(**row, **{**said, **changed}))


def condition(controller: Controller) -> dict[str, str]:
    with controller.engine.connect() as connection:
        conditions = {item["type"]: item for item in read_status(connection, "loop")["conditions"]}
    assert conditions["Ready"]["status"] == "True"
    return dict(conditions["RunsAsDeclared"])


def happened(controller: Controller) -> list[tuple[str, str]]:
    with controller.engine.connect() as connection:
        return [
            (event.event, event.body["deviceClass"]) for event in ledger.events(connection) if "drift" in event.event
        ]


def test_from_the_first_device_to_the_last(scene: Scene) -> None:
    """Counted with names while it lasts, one event where it begins and one where it ends, and never not ready."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    runs(controller, "good")
    runs(controller, "empty", model_hash=None, config_version=None)
    scene.tick(controller)
    assert condition(controller)["status"] == "True"
    for name in ("b", "a"):
        runs(controller, name, model_hash=FOREIGN)
    runs(controller, "c", "cam-lowlight", runtime_version="1.30.0")
    since = scene.now
    scene.tick(controller)
    said = condition(controller)
    assert (said["status"], said["reason"]) == ("False", "Drifted")
    assert "2 of cam-day (meter-reader: artifact, Correct), 1 of cam-lowlight" in said["message"]
    scene.tick(scene.controller())
    items = FleetView(controller.engine, controller.publisher.published).drift(1)["items"]
    assert [(item["devices"], item["names"], item["since"]) for item in items] == [
        (2, ["a"], since.isoformat()),
        (1, ["c"], since.isoformat()),
    ]
    for name in ("a", "b"):
        runs(controller, name)
    scene.tick(controller)
    assert "1 of cam-lowlight" in condition(controller)["message"]
    assert happened(controller) == [
        ("drifted", "cam-day"),
        ("drifted", "cam-lowlight"),
        ("drift-ended", "cam-day"),
    ]


def test_a_release_that_is_gone_from_git_was_declared(scene: Scene) -> None:
    """A device that lags behind with it does not drift, also after a restart."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    runs(controller, "late")
    scene.commit_release("1.1.0", EVERYONE)
    scene.tick(controller)
    (scene.repository / f"releases/{MODEL}/1.0.0.yaml").unlink()
    commit_all(scene.repository, "1.0.0 is history")
    scene.tick(controller)
    restarted = scene.controller()
    scene.tick(restarted)
    assert condition(restarted)["status"] == "True"


def test_the_rules_travel_to_devices_that_may_keep_something(scene: Scene) -> None:
    """`Warn` for one class: its document carries rules and what is known; the other's says what it always said."""
    changed = make_class("cam-day", may_be_empty=True)
    scene.declare(
        "devices/classes/cam-day.yaml",
        changed.model_copy(update={"spec": changed.spec.model_copy(update={"drift": "Warn"})}),
    )
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    documents = controller.publisher.published().documents
    told = documents[MODEL, "cam-day"].drift
    assert told is not None
    assert (told.action, len(told.known)) == ("Warn", 1)
    assert "drift" not in documents[MODEL, "cam-lowlight"].model_dump(mode="json")
    assert scene.tick(controller) == []


def test_what_is_ignored_is_listed_and_told_nobody(scene: Scene) -> None:
    """No condition; `get drift` shows it all the same."""
    changed = make_class("cam-day", may_be_empty=True)
    quiet = changed.model_copy(update={"spec": changed.spec.model_copy(update={"drift": "Ignore"})})
    scene.declare("devices/classes/cam-day.yaml", quiet)
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    runs(controller, "a", model_hash=FOREIGN)
    scene.tick(controller)
    assert condition(controller)["status"] == "True"
    items = FleetView(controller.engine, controller.publisher.published).drift(5)["items"]
    assert [(item["difference"]["action"], item["devices"]) for item in items] == [("Ignore", 1)]


def test_everything_that_runs_is_seen_once(scene: Scene) -> None:
    """Whatever is missing in a report, and however many devices say the same."""
    scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    half = {"model_hash": FOREIGN, "config_version": None}
    for number in range(3):
        runs(controller, f"half-{number}", runtime_version="1.30.0", **half)
        runs(controller, f"other-{number}", "cam-lowlight", config_version=FOREIGN)
    with controller.engine.connect() as connection:
        found = drift.seen(connection)
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT min(model_hash) FROM running WHERE device_class = 'a' AND model = 'b' "
            "AND model_hash > 'c'"
        ).all()
        counts = [drift.count(connection, one) for one in found]
        names = drift.names(connection, found[0], 2)
    assert len(found) == len(set(found)) == 2
    assert ("cam-day", MODEL, Runs(FOREIGN, None, "1.30.0")) in found
    assert counts == [3, 3]
    assert names == ["half-0", "half-1"]
    assert "running_by_what" in plan[0][-1]

"""The controller tells people: from a harmed device to an alert with everything in it, through a real HTTP server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from controllers import EVERYONE, Scene
from fleets import MODEL
from muster.apply import ledger
from muster.apply.alerts import outbox
from muster.daemon import Controller, Settings
from muster.kinds.channel import Channel
from muster.observe.status import read_status
from scratch_repository import commit_all, git, write
from served_channel import ServedChannel, served_channel

ROOT = Path(__file__).parents[2]


@pytest.fixture
def channel() -> Iterator[ServedChannel]:
    with served_channel() as channel:
        yield channel


@pytest.fixture
def scene(tmp_path: Path, channel: ServedChannel) -> Scene:
    """A fleet with one channel that is told of everything, and Muster's own components."""
    scene = Scene.set(tmp_path)
    target = {"format": "cloudevents", "url": channel.url}
    spec = {"target": target, "severities": ["info", "warning", "error"]}
    scene.declare(
        "policies/channels/on-call.yaml", Channel.model_validate({"metadata": {"name": "on-call"}, "spec": spec})
    )
    write(scene.repository, {"docs/components.yaml": (ROOT / "docs" / "components.yaml").read_text()})
    commit_all(scene.repository, "A channel")
    return scene


def controller_of(scene: Scene) -> Controller:
    return Controller(Settings(str(scene.repository), scene.state, alert_networks=("127.0.0.0/8",)))


def reasons(controller: Controller) -> list[str]:
    with controller.engine.connect() as connection:
        return [row["reason"] for row in reversed(outbox.listed(connection))]


def harm(scene: Scene, controller: Controller) -> None:
    for number in range(8):
        scene.report(controller, f"low-{number}", "cam-lowlight", "1.1.0", "rolled-back", "low_confidence")


def begin(scene: Scene) -> Controller:
    scene.commit_release("1.0.0", EVERYONE)
    controller = controller_of(scene)
    scene.tick(controller)
    scene.commit_release("1.1.0", EVERYONE)
    scene.tick(controller)
    return controller


def conditions(controller: Controller) -> dict[str, Any]:
    with controller.engine.connect() as connection:
        return {item["type"]: item for item in read_status(connection, "loop")["conditions"]}


def test_a_halt_is_told_with_everything(scene: Scene, channel: ServedChannel) -> None:
    """Suspended, reverted and lifted, in this order; the first with numbers, bounds, cohorts, owner and playbook."""
    controller = begin(scene)
    harm(scene, controller)
    for _ in range(3):
        scene.tick(controller)
    assert reasons(controller) == ["ReleaseSuspended", "RevertCommitted", "SuspensionLifted"]
    assert controller.courier.deliver_due(scene.now) == 3
    told = [event["data"] for event in channel.events]
    assert [alert["reason"] for alert in told] == ["ReleaseSuspended", "RevertCommitted", "SuspensionLifted"]
    suspended, reverted, _ = told
    assert suspended["release"] == f"{MODEL}/1.1.0"
    assert suspended["artifact"].startswith("sha256:")
    assert suspended["generation"] == 2
    assert suspended["cohorts"] == EVERYONE
    worst = suspended["measured"][0]
    assert (
        worst["deviceClass"],
        worst["measured"],
        worst["outcome"],
    ) == ("cam-lowlight", "1 (8 of 8 devices)", "harm")
    assert worst["bound"] == "limit 0.2"
    assert suspended["responsible"]["owner"] == "ml"
    assert suspended["responsible"]["component"].startswith("trial: ")
    assert suspended["responsible"]["playbook"] == "docs/playbooks/accuracy-drop.md"
    assert reverted["commit"] == git(scene.repository, "rev-parse", "main").strip()
    assert {event["source"] for event in channel.events} == {channel.events[0]["source"]}
    with controller.engine.connect() as connection:
        assert [event.event for event in ledger.events(connection)].count("alerted") == 3
        assert ledger.verify_chain(connection)
    controller.close()


def test_git_that_is_down_is_told_and_that_it_is_back(scene: Scene, channel: ServedChannel) -> None:
    """The suspension holds and is told; the revert is held up and told once; the repository's absence is told."""
    controller = begin(scene)
    harm(scene, controller)
    away = scene.repository.rename(scene.folder / "away")
    for _ in range(14):
        scene.tick(controller)
    assert reasons(controller) == ["ReleaseSuspended", "RevertHeldUp", "FetchFailed", "StepFailed"]
    away.rename(scene.repository)
    for _ in range(3):
        scene.tick(controller)
    assert {"RevertCommitted", "SuspensionLifted"} <= set(reasons(controller))
    controller.courier.deliver_due(scene.now)
    over = [event["data"]["reason"] for event in channel.events if event["data"]["state"] == "resolved"]
    assert sorted(over) == ["FetchFailed", "StepFailed"]
    controller.close()


def test_alerts_survive_restarts_and_are_told_once(scene: Scene, channel: ServedChannel) -> None:
    """A controller restarted at every step tells of everything exactly once where nothing crashes in between."""
    begin(scene).close()
    controller = controller_of(scene)
    harm(scene, controller)
    for _ in range(4):
        controller.close()
        controller = controller_of(scene)
        scene.tick(controller)
        controller.courier.deliver_due(scene.now)
    keys = [event["id"] for event in channel.events]
    assert len(keys) == len(set(keys)) == 3
    controller.close()


def test_a_channel_that_is_down_shows_in_the_status(scene: Scene, channel: ServedChannel) -> None:
    """It holds nothing up; that people are not told is a condition, which goes once they are."""
    controller = begin(scene)
    harm(scene, controller)
    channel.status = 503
    scene.tick(controller)
    controller.courier.deliver_due(scene.now)
    scene.now += timedelta(minutes=20)
    scene.tick(controller)
    assert conditions(controller)["AlertsDelivered"]["reason"] == "AlertsLate"
    assert "AlertsLate" not in reasons(controller)
    channel.status = 200
    channel.events.clear()
    controller.courier.deliver_due(scene.now)
    scene.tick(controller)
    assert conditions(controller)["AlertsDelivered"]["status"] == "True"
    assert "ReleaseSuspended" in {event["data"]["reason"] for event in channel.events}
    controller.close()


def test_without_channels_and_components_nothing_is_missing(tmp_path: Path) -> None:
    """A fleet that declares neither halts as ever; its alerts are listed, and name whoever owns the release."""
    scene = Scene.set(tmp_path)
    controller = begin(scene)
    harm(scene, controller)
    scene.tick(controller)
    assert "ReleaseSuspended" in reasons(controller)
    with controller.engine.connect() as connection:
        alert = next(row for row in outbox.listed(connection) if row["reason"] == "ReleaseSuspended")
    assert alert["responsible"]["owner"] == "ml@fleet.example"
    assert alert["deliveries"] == []
    assert json.dumps(alert)
    controller.close()

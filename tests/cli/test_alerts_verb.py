"""`muster alerts`: what people were told, what did not reach them, sending it again, trying a channel."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controllers import EVERYONE, Scene
from muster.apply.alerts import outbox
from muster.apply.alerts.making import of_trial
from muster.cli import exit_code_of
from muster.kinds.channel import Channel
from muster.observe.storage import open_storage, writing
from served_channel import served_channel

NOW = datetime.now(UTC)


def channel_to(url: str) -> Channel:
    target = {"format": "cloudevents", "url": url}
    spec = {"target": target, "severities": ["info"]}
    return Channel.model_validate({"metadata": {"name": "on-call"}, "spec": spec})


def test_dead_letters_are_listed_and_sent_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 while there are any; sent again they wait; dismissed they are gone; what is not there is refused."""
    alert = of_trial("c" * 40, "on-call", NOW)
    state = ["--state", str(tmp_path)]
    engine = open_storage(tmp_path)
    with writing(engine) as connection:
        outbox.put(connection, alert, [channel_to("https://hooks.example/")], NOW)
    assert exit_code_of(["alerts", "dead", *state]) == 0

    def fail() -> None:
        with writing(engine) as connection:
            (found,) = outbox.due(connection, datetime.now(UTC) + timedelta(seconds=1))
            outbox.not_delivered(connection, found, "answered 410", NOW, None, final=True)

    fail()
    capsys.readouterr()
    assert exit_code_of(["alerts", "dead", "-o", "json", *state]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert row["deliveries"][0]["lastError"] == "answered 410"
    assert exit_code_of(["alerts", "send-again", *state]) == 2
    assert exit_code_of(["alerts", "send-again", "no-such-key", *state]) == 1
    assert exit_code_of(["alerts", "send-again", alert.key, *state]) == 0
    fail()
    assert exit_code_of(["alerts", "send-again", "--all", *state]) == 0
    fail()
    assert exit_code_of(["alerts", "dismiss", alert.key, *state]) == 0
    assert exit_code_of(["alerts", "dead", *state]) == 0
    assert exit_code_of(["alerts", "list", *state]) == 0
    assert "on-call dismissed" in capsys.readouterr().out
    engine.dispose()


def test_no_state_folder_is_unusable(tmp_path: Path) -> None:
    """A mistyped folder is not made, and exit 2."""
    assert exit_code_of(["alerts", "list", "--state", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


def test_a_channel_can_be_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One alert is sent now; an opened network, a status and a name that do not fit are said."""
    scene = Scene.set(tmp_path)
    with served_channel() as served:
        scene.declare("policies/channels/on-call.yaml", channel_to(served.url))
        scene.commit_release("1.0.0", EVERYONE)
        scene.controller().close()
        place = ["--repository", str(scene.repository), "--state", str(scene.state)]
        opened = ["--alert-network", "127.0.0.0/8"]
        assert exit_code_of(["alerts", "try", "on-call", *opened, *place]) == 0
        assert served.events[0]["type"] == "muster.v1.ChannelTried"
        assert exit_code_of(["alerts", "try", "on-call", *place]) == 1
        served.status = 503
        assert exit_code_of(["alerts", "try", "on-call", *opened, *place]) == 1
        assert exit_code_of(["alerts", "try", "other", *opened, *place]) == 2
        assert exit_code_of(["alerts", "try", "on-call", "--alert-network", "nonsense", *place]) == 2
        assert "answered 503" in capsys.readouterr().err
    assert len(served.events) == 2

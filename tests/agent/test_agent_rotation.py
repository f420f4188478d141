"""What a server tells a device besides: another secret, labels that people set, and to come back later."""

from __future__ import annotations

import stat

import pytest
from agent_simulator import Bench

from muster.agent.identity import read_secret
from muster.agent.rotation import rotate
from muster.agent.setbacks import Postponed
from muster.kinds.errors import Refused


def test_a_device_that_is_asked_takes_another_secret(bench: Bench) -> None:
    """In the same round; the next reports go under it, and the old one is gone from the folder."""
    agent = bench.start()
    old = agent.device.secret
    bench.server.told = {"rotate": True}
    bench.tick()
    bench.server.told = {}
    new = read_secret(agent.device.folder)
    assert new == agent.device.secret != old
    assert bench.server.next_secrets == {agent.device.identity.device_id: new}
    assert bench.tick().waiting_reports == 0
    assert bench.server.secrets == {agent.device.identity.device_id: new}
    assert stat.S_IMODE(agent.device.folder.secret.stat().st_mode) == 0o600
    assert not agent.device.folder.next_secret.exists()


def test_a_rotation_whose_answer_was_lost_is_completed(bench: Bench) -> None:
    """The old secret goes on, also after a restart, until the same new one was announced again."""
    agent = bench.start()
    old = agent.device.secret
    bench.server.told, bench.server.secret_dies_after_taking = {"rotate": True}, True
    bench.tick()
    assert read_secret(agent.device.folder) == old
    announced = dict(bench.server.next_secrets)
    bench.server.secret_dies_after_taking = False
    again = bench.start()
    bench.tick()
    bench.server.told = {}
    assert {again.device.identity.device_id: read_secret(again.device.folder)} == announced
    assert bench.tick().waiting_reports == 0


def test_a_stranger_rotates_nothing(bench: Bench) -> None:
    """And a server that is away leaves everything as it was."""
    agent = bench.start()
    folder, device_id = agent.device.folder, agent.device.identity.device_id
    with pytest.raises(Refused, match="does not know"):
        rotate(folder, bench.server, device_id, "x" * 43)
    bench.server.away = True
    with pytest.raises(Postponed):
        rotate(folder, bench.server, device_id, agent.device.secret)
    assert read_secret(folder) == agent.device.secret


def test_labels_that_people_set_count_on_the_device(bench: Bench) -> None:
    """From the next round on, over a restart, and until they are taken back."""
    agent = bench.start()
    own = dict(agent.device.identity.labels)
    bench.server.told = {"labels": {"ring": "canary"}}
    bench.tick()
    assert agent.device.labels == {**own, "ring": "canary"}
    again = bench.start()
    assert again.device.labels == {**own, "ring": "canary"}
    bench.server.away = True
    bench.tick()
    assert again.device.labels == {**own, "ring": "canary"}
    bench.server.away, bench.server.told = False, {}
    bench.tick()
    assert again.device.labels == own


@pytest.mark.parametrize(
    "labels",
    [{"device/serial": "9"}, {"ring": 7}, {"RING": "x"}, {f"k{number}": "x" for number in range(33)}, ["ring"]],
    ids=["the device's own", "no text", "no key", "too many", "no mapping"],
)
def test_labels_that_are_none_change_nothing(bench: Bench, labels: object) -> None:
    """What the server says in another form counts for nothing; reports count as sent all the same."""
    agent = bench.start()
    before = dict(agent.device.labels)
    bench.server.told = {"labels": labels}
    assert bench.tick().waiting_reports == 0
    assert agent.device.labels == before


def test_a_device_that_is_told_to_come_back_later_does(bench: Bench) -> None:
    """429 with Retry-After: nothing is sent before the time, and nothing is lost."""
    bench.start()
    bench.server.reports_status, bench.server.retry_after = 429, "90"
    bench.tick()
    bench.server.requests.clear()
    bench.server.reports_status = 200
    for _ in range(8):
        bench.tick(10)
    assert ("POST", "/v1/reports") not in bench.server.requests
    assert bench.tick(15).waiting_reports == 0
    numbers = [one.sequence for one in bench.server.reports]
    assert numbers == sorted(numbers)
    assert len(numbers) > 8

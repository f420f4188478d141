"""Withdrawals are sent first and always, samples while conditions hold, in chunks that go on where a cut came."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from captured import PURPOSE, device, sample, taken, terms
from muster.agent.capture.conditions import ask, read_settings
from muster.agent.capture.consent import read_consent
from muster.agent.capture.owner import choose
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.queue import waiting
from muster.agent.capture.sending import CHUNK, MOST_REQUESTS, Sender
from muster.agent.folder import DeviceFolder
from muster.agent.server import Answer
from muster.agent.setbacks import server_away
from muster.kinds.capture import CaptureRecord
from muster.kinds.errors import Unusable

BIG = 3 * CHUNK


@dataclass
class SimulatedCaptures:
    """A server in memory that keeps samples. Change it by assignment; `before` is called with each path."""

    records: dict[str, CaptureRecord] = field(default_factory=dict)
    contents: dict[str, bytearray] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    status: int | None = None
    stuck: bool = False
    before: Callable[[str], None] = lambda _path: None

    def get(self, path: str, headers: Mapping[str, str]) -> AbstractContextManager[Answer]:
        raise NotImplementedError

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        assert headers["Authorization"] == "Bearer dev-1:secret"
        self.paths.append(path)
        self.before(path)
        if self.status:
            return Answer(self.status, {"retry-after": "7"}, iter([b"{}"]))
        parts = urlsplit(path)
        if parts.path == "/v1/captures/erase":
            self.erased.append(json.loads(body)["purpose"])
            return _json(200, {"erased": 0})
        if parts.path == "/v1/captures":
            record = CaptureRecord.model_validate_json(body)
            self.records[record.id] = record
            return self._said(record.id)
        identity = parts.path.split("/")[3]
        assert headers["Content-Type"] == "application/octet-stream"
        content = self.contents.setdefault(identity, bytearray())
        if int(parse_qs(parts.query)["offset"][0]) != len(content) or self.stuck:
            return self._said(identity, 409)
        content += body
        return self._said(identity)

    def _said(self, identity: str, status: int = 200) -> Answer:
        received = len(self.contents.get(identity, b""))
        return _json(status, {"received": received, "complete": received == self.records[identity].size})


def _json(status: int, value: object) -> Answer:
    return Answer(status, {}, iter([json.dumps(value).encode()]))


@pytest.fixture
def place(tmp_path: Path) -> CapturePlace:
    place = device(tmp_path / "device", terms(size="8MiB"))
    choose(DeviceFolder(tmp_path / "device"), PURPOSE, given=True)
    return place


def decide(place: CapturePlace, *, given: bool) -> None:
    choose(DeviceFolder(place.path.parent), PURPOSE, given=given)


def sender(place: CapturePlace, server: SimulatedCaptures) -> Sender:
    return Sender(place, server, lambda: "Bearer dev-1:secret")


def test_what_waits_is_sent_oldest_first_and_is_then_gone(place: CapturePlace) -> None:
    """In chunks, each with where it begins."""
    taken(place, sample(1, elements=BIG), sample(2))
    contents = [one.place.content.read_bytes() for one in waiting(place)]
    server = SimulatedCaptures()
    assert sender(place, server).send().samples == 2
    assert contents == [bytes(content) for content in server.contents.values()]
    assert [] == waiting(place) == list(place.contents.iterdir())
    assert sum("content" in path for path in server.paths[:4]) == 3


def test_a_cut_goes_on_where_the_server_is(place: CapturePlace) -> None:
    """What had come over is not sent again."""
    taken(place, sample(1, elements=BIG))
    server = SimulatedCaptures()

    def cut(path: str) -> None:
        if f"offset={2 * CHUNK}" in path:
            raise server_away("the line went dead")

    server.before = cut
    assert sender(place, server).send().setback == "the line went dead"
    assert len(waiting(place)) == 1
    server.before, server.paths = lambda _path: None, []
    assert sender(place, server).send().samples == 1
    assert [f"offset={2 * CHUNK}"] == [urlsplit(path).query for path in server.paths if "content" in path]


def test_a_withdrawal_in_the_middle_of_a_sample_stops_it_and_is_told_next(place: CapturePlace) -> None:
    """At most the chunk under way arrives; then the server is asked to erase; nothing is sent under a new consent
    before it has.
    """
    taken(place, sample(1, elements=BIG))
    server = SimulatedCaptures()

    def withdraw(path: str) -> None:
        if "offset=0" in path:
            decide(place, given=False)

    server.before = withdraw
    assert sender(place, server).send().samples == 0
    assert [len(content) for content in server.contents.values()] == [CHUNK]
    decide(place, given=True)
    taken(place, sample(2))
    server.before, server.paths, server.status = lambda _path: None, [], 503
    assert sender(place, server).send().retry_after == 7.0
    assert server.paths == ["/v1/captures/erase"]
    server.paths, server.status = [], None
    done = sender(place, server).send()
    assert (done.erased, done.samples) == (1, 1)
    assert server.paths[0] == "/v1/captures/erase"
    assert read_consent(place).withdrawn == {}


def test_a_withdrawal_that_comes_while_another_is_told_is_told_too(place: CapturePlace) -> None:
    """The answer speaks of the first alone."""
    decide(place, given=False)
    server = SimulatedCaptures(before=lambda _path: decide(place, given=False))
    sender(place, server).send()
    assert list(read_consent(place).withdrawn) == [PURPOSE]


@pytest.mark.parametrize("status", [400, 404, 410, 413, 415, 422])
def test_what_the_server_will_never_take_is_dropped(place: CapturePlace, status: int) -> None:
    """It must not hold up what comes after it."""
    taken(place, sample(1), sample(2))
    assert sender(place, SimulatedCaptures(status=status)).send().refused == 2
    assert waiting(place) == []


@pytest.mark.parametrize("status", [301, 401, 429, 500, 503, 200])
def test_what_the_server_may_take_later_is_kept(place: CapturePlace, status: int) -> None:
    """Answers that say nothing of the sample, and one that says nothing at all."""
    taken(place, sample(1))
    done = sender(place, SimulatedCaptures(status=status)).send()
    assert (done.samples, done.refused, done.retry_after) == (0, 0, 7.0)
    assert len(waiting(place)) == 1


def test_a_slow_line_does_not_hold_up_the_agent(place: CapturePlace) -> None:
    """A round ends after its seconds, in the middle of a sample; the next one goes on there."""
    taken(place, sample(1, elements=BIG), sample(2))
    server = SimulatedCaptures()
    clock = iter(range(0, 10_000, 6))
    slow = Sender(place, server, lambda: "Bearer dev-1:secret", lambda: next(clock))
    rounds = 0
    while waiting(place):
        count = len(server.paths)
        assert slow.send().setback is None
        assert len(server.paths) - count <= 2
        rounds += 1
    assert rounds > 3
    assert sorted(map(len, server.contents.values())) == [64, BIG]


def test_a_server_that_never_comes_to_an_end_is_left(place: CapturePlace) -> None:
    """A round is bounded in requests, by sample and in all."""
    taken(place, sample(1))
    server = SimulatedCaptures(stuck=True)
    assert sender(place, server).send().setback is not None
    assert len(server.paths) < 8
    taken(place, *(sample(value) for value in range(2, MOST_REQUESTS)))
    server = SimulatedCaptures()
    sender(place, server).send()
    assert len(server.paths) <= MOST_REQUESTS + 1
    assert waiting(place)


@pytest.mark.parametrize(
    ("facts", "sent"),
    [
        ('{"metered": false, "charging": true}', 1),
        ('{"metered": true, "charging": true}', 0),
        ('{"metered": false, "charging": false}', 0),
        ('{"metered": false}', 0),
        ('{"metered": "no", "charging": true}', 0),
        ("not json", 0),
        (None, 0),
    ],
)
def test_samples_go_while_the_conditions_are_known_to_hold(tmp_path: Path, facts: str | None, sent: int) -> None:
    """What is not known does not hold; withdrawals ask for no condition."""
    careful = terms("careful", conditions={"unmetered": True, "charging": True})
    place = device(tmp_path / "device", careful)
    folder = DeviceFolder(tmp_path / "device")
    choose(folder, "gone", given=False)
    choose(folder, "careful", given=True)
    file = tmp_path / "facts.json"
    if facts is not None:
        file.write_text(facts)
    place.settings.write_text(json.dumps({"facts": {"file": str(file)}}))
    taken(place, sample())
    server = SimulatedCaptures()
    assert sent == sender(place, server).send().samples
    assert server.erased == ["gone"]


def test_a_command_tells_facts_and_what_ends_badly_tells_none(tmp_path: Path) -> None:
    """Without a shell, by its absolute path, with little to say."""
    place = device(tmp_path / "device", terms())
    told = []
    for program in (
        'print(\'{"metered": false, "charging": true}\')',
        "print('{\"metered\": false}'); raise SystemExit(1)",
        "print('x' * 100_000)",
    ):
        place.settings.write_text(json.dumps({"facts": {"command": [sys.executable, "-c", program]}}))
        told.append(ask(read_settings(place).facts).charging)
    assert told == [True, None, None]
    for wrong in ({"command": ["facts"]}, {"command": []}, {"file": "facts"}, {}, {"file": "/a", "command": ["/b"]}):
        place.settings.write_text(json.dumps({"facts": wrong}))
        with pytest.raises(Unusable):
            read_settings(place)

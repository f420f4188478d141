"""The whole agent: what it answers is taken where it is declared and consented to, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from agent_simulator import BRIGHT, CLASS_NAME, GREY, MODEL_NAME, Bench, build

from muster.agent.capture.owner import choose
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.queue import content_of, waiting
from muster.agent.http_server import HttpServer
from muster.agent.identity import read_secret
from muster.agent.server import CAPTURES, Answer, Server
from muster.cli import exit_code_of
from muster.kinds.capture import Capture, CaptureConditions
from muster.kinds.desired import DesiredDocument
from muster.plan.world import Published
from sites import Site

DECLARED = Capture(purpose="grey", model=MODEL_NAME, statement="Why.", confidence_below="90%")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A device that runs a release; half of its frames are answered without confidence."""
    bench = Bench(tmp_path, frames=np.concatenate([BRIGHT, GREY]), frames_per_tick=2)
    bench.start()
    return bench


def place(bench: Bench) -> CapturePlace:
    return CapturePlace.of(bench.folder)


def publish(bench: Bench, generation: int, *captures: Capture) -> DesiredDocument:
    return bench.repository.publish(generation, [built.entry(1)], artifacts=(built,), capture=captures)


built = build("1.0.0")


def test_without_a_declaration_the_folder_is_not_even_made(bench: Bench) -> None:
    """Nor with one, before somebody consents: only what is declared is kept."""
    publish(bench, 1)
    bench.tick()
    bench.tick()
    assert not place(bench).path.exists()
    publish(bench, 2, DECLARED)
    for _ in range(3):
        bench.tick()
    assert place(bench).terms.exists()
    assert waiting(place(bench)) == []


def test_what_is_answered_without_confidence_is_taken_and_withdrawn_with_its_declaration(bench: Bench) -> None:
    """The bytes are those of the frame, the record names the release; a declaration that goes takes all with it."""
    choose(bench.folder, "grey", given=True)
    publish(bench, 1, DECLARED)
    for _ in range(4):
        bench.tick()
    found = waiting(place(bench))
    assert found
    assert {GREY[0].tobytes()} == {content_of(one) for one in found}
    record = found[0].envelope.record
    assert (record.release, record.device_class, record.because) == ("meter-reader/1.0.0", CLASS_NAME, "low-confidence")
    publish(bench, 2)
    bench.tick()
    assert [] == waiting(place(bench)) == list(place(bench).contents.iterdir())


def test_a_full_disk_or_a_server_that_is_away_is_no_matter_of_the_agent(bench: Bench) -> None:
    """Polls and reports go on; the declaration of before holds while the server is away."""
    choose(bench.folder, "grey", given=True)
    publish(bench, 1, DECLARED)
    bench.tick()
    bench.tick()
    count = len(waiting(place(bench)))
    bench.server.away = True
    bench.tick()
    assert len(waiting(place(bench))) > count
    bench.server.away = False
    place(bench).path.chmod(0o755)
    assert bench.tick().problem is None


class SamplesElsewhere:
    """Everything but samples goes to the server in memory."""

    def __init__(self, server: Server, samples: Server) -> None:
        self._server = server
        self._samples = samples

    def get(self, path: str, headers: Mapping[str, str]) -> AbstractContextManager[Answer]:
        return self._server.get(path, headers)

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return (self._samples if path.startswith(CAPTURES) else self._server).post(path, headers, body)


def test_the_whole_agent_sends_until_consent_is_withdrawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its samples go to a real server, with its own secret; `muster agent consent` holds from the next round on."""
    site = Site(tmp_path / "state")
    site.start()
    try:
        bench = Bench(tmp_path, frames=np.concatenate([BRIGHT, GREY]), frames_per_tick=2)
        device_id, secret = "device-1", read_secret(bench.folder)
        assert site.enrol(device_id, device_class=CLASS_NAME, secret=secret)[0] == 201
        bench.server = SamplesElsewhere(bench.server, HttpServer(site.url))
        bench.start()
        at_once = DECLARED.model_copy(update={"conditions": CaptureConditions(unmetered=False, charging=False)})
        document = publish(bench, 1, at_once)
        site.published = Published(documents={(MODEL_NAME, CLASS_NAME): document})
        listed = {"Authorization": f"Bearer {site.keys.operator_token()}"}
        for choice, expected in ((None, False), ("on", True), ("off", False), ("on", True)):
            if choice:
                command = ["agent", "consent", "grey", choice, "--folder", str(bench.folder.path), "-o", "json"]
                assert exit_code_of(command) == 0
                assert json.loads(capsys.readouterr().out)[0]["consent"] == (choice == "on")
            for _ in range(3):
                assert bench.tick().problem is None
            items = site.ask("GET", "/v1/captures", headers=listed)[1]["items"]
            assert expected == bool(items)
            assert {"meter-reader/1.0.0"} >= {item["release"] for item in items}
            assert waiting(place(bench)) == []
    finally:
        site.stop()


def test_who_consents_to_nothing_is_told_what_to_write(bench: Bench, tmp_path: Path) -> None:
    """Neither on nor off, a purpose that is none, a folder that is no device's: exit 2."""
    folder = ["--folder", str(bench.folder.path)]
    assert exit_code_of(["agent", "consent", "grey", *folder]) == 2
    assert exit_code_of(["agent", "consent", "../grey", "on", *folder]) == 2
    assert exit_code_of(["agent", "consent", "grey", "on", "--folder", str(tmp_path)]) == 2
    assert exit_code_of(["agent", "consent", *folder]) == 0

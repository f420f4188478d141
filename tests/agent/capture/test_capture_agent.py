"""The whole agent: what it answers is taken where it is declared and consented to, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from agent_simulator import BRIGHT, CLASS_NAME, GREY, MODEL_NAME, Bench, build

from muster.agent.capture.owner import choose
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.queue import content_of, waiting
from muster.kinds.capture import Capture

DECLARED = Capture(purpose="grey", model=MODEL_NAME, statement="Why.", confidence_below="90%")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A device that runs a release; half of its frames are answered without confidence."""
    bench = Bench(tmp_path, frames=np.concatenate([BRIGHT, GREY]), frames_per_tick=2)
    bench.start()
    return bench


def place(bench: Bench) -> CapturePlace:
    return CapturePlace.of(bench.folder)


def publish(bench: Bench, generation: int, *captures: Capture) -> None:
    bench.repository.publish(generation, [built.entry(1)], artifacts=(built,), capture=captures)


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

"""The log of predictions: who answered what, bounded, without the input."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from agent_simulator import BRIGHT, MODEL_NAME, Bench, build, hash_of
from faulty_disks import RefusingDisk

from muster.agent.active import open_model
from muster.agent.folder import DeviceFolder
from muster.agent.predictions import FILES, PredictionLog

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
FRAME = np.arange(4, dtype=np.uint8)


def _log(folder: Path, limit: int = 2**20, **disk: object) -> PredictionLog:
    return PredictionLog(DeviceFolder(folder, **disk), MODEL_NAME, limit, lambda: AT)


def _lines(folder: Path) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for path in sorted((folder / "predictions").iterdir(), reverse=True)
        for line in path.read_text().splitlines()
    ]


@pytest.mark.parametrize("asked", ["by the tier", "by the application", "by nobody"])
def test_each_prediction_names_release_and_generation_and_holds_nothing_of_the_input(bench: Bench, asked: str) -> None:
    """If its release is of a regulated tier, or the application asks for it; else nothing is written."""
    built = build("1.0.0")
    bench.start()
    entry = built.entry(1).model_copy(update={"log_predictions": asked == "by the tier"})
    bench.repository.publish(1, [entry], artifacts=(built,))
    bench.tick()
    with open_model(bench.folder.path, MODEL_NAME, log_predictions=asked == "by the application") as model:
        answered = [model.infer(frame) for frame in (BRIGHT[0], BRIGHT[0] // 2)]
        assert model.lost_predictions == 0
    if asked == "by nobody":
        assert not bench.folder.predictions.exists()
        return
    lines = _lines(bench.folder.path)
    assert [line["number"] for line in lines] == [1, 2]
    assert hashlib.sha256(b"|u1|(4,)|" + BRIGHT.tobytes()).hexdigest() == str(lines[0]["input"])[7:]
    for line, said in zip(lines, answered, strict=True):
        assert {
            "release": built.release,
            "generation": 1,
            "modelHash": hash_of(built),
            "configVersion": said.config_version,
            "label": said.label,
            "confidence": round(said.confidence, 6),
            "confident": said.confident,
        }.items() <= line.items()
        assert set(line) == {"number", "at", "input", *(key for key in line if key in _KEYS)}


_KEYS = ("release", "generation", "modelHash", "configVersion", "label", "confidence", "confident")


def test_the_log_is_bounded_and_its_oldest_lines_go_first(tmp_path: Path) -> None:
    """So many files of so many bytes and no more; what is left is the newest, in order, without a gap."""
    log = _log(tmp_path, 1_000)
    for _ in range(200):
        log.write(FRAME, {"label": "7"})
    log.close()
    files = sorted((tmp_path / "predictions").iterdir())
    assert len(files) == FILES
    assert all(file.stat().st_size <= 1_000 for file in files)
    numbers = [line["number"] for line in _lines(tmp_path)]
    assert numbers == list(range(201 - len(numbers), 201))


def test_numbers_go_on_over_a_restart_and_over_a_line_that_was_cut_off(tmp_path: Path) -> None:
    """Power that goes in the middle of a line costs that line, and its absence shows."""
    for _ in range(2):
        log = _log(tmp_path)
        log.write(FRAME, {})
        log.close()
    path = tmp_path / "predictions" / f"{MODEL_NAME}.jsonl"
    with path.open("ab") as file:
        file.write(b'{"number":3,"at":"20')
    log = _log(tmp_path)
    log.write(FRAME, {})
    log.close()
    lines = path.read_bytes().splitlines()
    assert lines[2] == b'{"number":3,"at":"20'
    assert [json.loads(line)["number"] for line in (lines[0], lines[1], lines[3])] == [1, 2, 3]


def test_a_disk_that_is_full_costs_lines_which_are_counted_and_missing(tmp_path: Path) -> None:
    """No answer fails for it; what was not written shows as a gap when there is room again."""
    disk = RefusingDisk(errno.ENOSPC, after=10_000)
    log = _log(tmp_path, disk=disk)
    log.write(FRAME, {})
    disk.after = 0
    log.write(FRAME, {})
    log.write(FRAME, {})
    disk.after = 10_000
    log.write(FRAME, {})
    log.close()
    assert log.lost == 2
    assert [line["number"] for line in _lines(tmp_path)] == [1, 4]


def test_threads_share_a_log(tmp_path: Path) -> None:
    """Every line is whole, and no number is there twice."""
    log = _log(tmp_path)
    threads = [
        threading.Thread(target=lambda: [log.write(FRAME, {"label": "x" * 50}) for _ in range(100)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert list(range(1, 401)) == [line["number"] for line in _lines(tmp_path)]

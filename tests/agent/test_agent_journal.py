"""The journal, and what the agent makes of it after it was stopped anywhere."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from agent_simulator import WINDOW_SECONDS, Bench, build, hash_of

from muster.agent.folder import DeviceFolder
from muster.agent.journal import DeviceState, Journal, ModelState, read_journal, write_journal
from muster.kinds.errors import Unusable

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class SimulatedKill(BaseException):
    """The process ends here."""


def test_a_trial_is_resumed_after_a_restart_and_its_window_begins_again(bench: Bench) -> None:
    """What was counted before the restart is gone, so the window starts from zero."""
    first = build("1.0.0")
    bench.repository.publish(1, [first.entry(1)], artifacts=(first,))
    bench.start()
    bench.tick()
    bench.tick(WINDOW_SECONDS - 5)
    bench.start()
    assert hash_of(first) == bench.running
    bench.tick(WINDOW_SECONDS - 5)
    assert bench.state.trial is not None
    bench.tick(5)
    assert first.artifact == bench.state.confirmed.artifact


def test_a_trial_that_keeps_ending_the_agent_is_left(bench: Bench) -> None:
    """A model that crashes the process must not take the device down for ever; planned restarts do not count."""
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first)
    bench.repository.publish(2, [second.entry(2), first.entry(1)], artifacts=(second,))
    bench.tick()
    for _ in range(5):
        bench.start()
        assert hash_of(second) == bench.running
        bench.agent.stop(bench.now)
    for _ in range(3):
        bench.start()
        assert hash_of(second) == bench.running
    bench.start()
    assert hash_of(first) == bench.running
    bench.tick()
    assert bench.story(second)[-1] == ("rolled-back", "trial_interrupted")


def test_an_artifact_that_ends_the_agent_while_it_is_loaded_is_given_up(bench: Bench) -> None:
    """Loading is counted before native code sees the bytes."""

    class Crashing:
        version = "1.31.1"

        def load(self, *_arguments: object) -> object:
            raise SimulatedKill

    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first)
    bench.repository.publish(2, [second.entry(2), first.entry(1)], artifacts=(second,))
    runtime = bench.runtime
    for _ in range(3):
        bench.runtime = runtime
        bench.start()
        bench.agent.device.surroundings.__dict__["runtime"] = Crashing()
        with pytest.raises(SimulatedKill):
            bench.tick()
    bench.runtime = runtime
    bench.start()
    bench.tick()
    assert bench.story(second)[-1] == ("failed", "load_crashed")
    assert hash_of(first) == bench.running


def _state(generation: int) -> DeviceState:
    return DeviceState(models={"meter-reader": ModelState(generation=generation)}, reserved=generation)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """All of it, as the same value."""
    folder = DeviceFolder(tmp_path)
    write_journal(folder, _state(7))
    assert (_state(7), "whole") == read_journal(folder)


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    """A damaged journal is never believed: the state before is, and never something third."""
    folder = DeviceFolder(tmp_path)
    write_journal(folder, _state(1))
    write_journal(folder, _state(2))
    whole = folder.journal.read_bytes()
    for place in range(len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        folder.journal.write_bytes(bytes(damaged))
        try:
            found = read_journal(folder)
        except Unusable:
            # A flip in the version's digit looks like a journal of another agent.
            assert whole[place : place + 1] == b"1"
            continue
        assert found in ((_state(1), "from backup"), (_state(2), "whole"))


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 100, b"[" * 100_000, b'{"version":1}'], ids=range(5))
def test_a_journal_that_cannot_be_read_falls_back(tmp_path: Path, damage: bytes) -> None:
    """First to the state before, then to nothing; the loss is named either way."""
    folder = DeviceFolder(tmp_path)
    write_journal(folder, _state(1))
    write_journal(folder, _state(2))
    folder.journal.write_bytes(damage)
    assert (_state(1), "from backup") == read_journal(folder)
    folder.journal_backup.write_bytes(damage)
    assert (DeviceState(), "lost") == read_journal(folder)


def test_after_a_loss_sequence_numbers_go_on_far_above(tmp_path: Path) -> None:
    """A device that began again at 1 would be deaf: the server takes every report of it for an old one."""
    folder = DeviceFolder(tmp_path)
    write_journal(folder, _state(12_345))
    folder.journal.write_bytes(b"?")
    assert Journal(folder, NOW).state.reserved > 1_700_000_000_000


def test_a_device_without_a_journal_begins_again_and_says_so(bench: Bench) -> None:
    """The release is fetched once more, the loss is reported, and the server hears the reports."""
    first = build("1.0.0")
    bench.start()
    bench.confirm(first)
    bench.folder.journal.write_bytes(b"?")
    bench.folder.journal_backup.write_bytes(b"?")
    heard = len(bench.server.reports)
    bench.start()
    assert bench.tick().problem == "journal_lost"
    assert hash_of(first) == bench.running
    assert "journal_lost" in [report.error_code for report in bench.server.reports[heard:]]
    assert bench.tick().problem is None


def test_a_newer_agents_journal_is_not_overwritten(tmp_path: Path) -> None:
    """An agent that was downgraded stops instead of forgetting."""
    import json

    folder = DeviceFolder(tmp_path)
    write_journal(folder, _state(1))
    value = json.loads(folder.journal.read_bytes())
    folder.journal.write_text(json.dumps({**value, "version": 2}))
    with pytest.raises(Unusable, match="another version"):
        read_journal(folder)


def test_a_disk_that_refuses_to_be_written_stops_no_model(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a read-only disk a failing trial is left all the same, and what runs keeps running."""
    import numpy as np
    from agent_simulator import BRIGHT, GREY

    bench.frames, bench.frames_per_tick = BRIGHT, 40
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    bench.start()
    bench.confirm(first)
    bench.repository.publish(2, [second.entry(2), first.entry(1)], artifacts=(second,))
    bench.tick()
    bench.model.worker._camera._frames = np.concatenate([GREY])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        bench.tick(WINDOW_SECONDS)
        assert hash_of(first) == bench.running
        bench.tick()
    bench.tick()
    bench.start()
    assert hash_of(first) == bench.running
    bench.tick()
    assert ("rolled-back", "low_confidence") in bench.story(second)

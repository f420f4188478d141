"""Whatever fails on a device: the confirmed model answers, and the server hears the code."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from agent_simulator import BRIGHT, WINDOW_SECONDS, Bench, Built, answers, build, hash_of
from faulty_disks import CountingDisk, RefusingDisk
from onnx import TensorProto, helper, numpy_helper
from outcomes import hold
from simulated_runtime import SimulatedRuntime, simulated

from muster.agent.first_load import FirstLoad
from muster.agent.folder import DeviceFolder
from muster.agent.journal import LIMIT, QUARANTINED
from muster.agent.rehash import PIECE, Rehash
from muster.agent.telemetry import SPOOL
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, MANIFEST, MODEL
from muster.artifacts.disk import DISK, Disk
from muster.artifacts.golden import dump_expected

OLD = simulated("1.0.0", 8.0)
NEW = simulated("1.1.0", 9.0)
REFUSALS = {"full": errno.ENOSPC, "read-only": errno.EROFS, "without permission": errno.EACCES, "broken": errno.EIO}


def _bench(path: Path, disk: Disk = DISK) -> Bench:
    """A device on which OLD is confirmed."""
    bench = Bench(path, runtime=SimulatedRuntime(), frames=BRIGHT, frames_per_tick=25)
    bench.folder = DeviceFolder(bench.folder.path, disk)
    bench.start()
    bench.confirm(OLD)
    return bench


def _outcome(bench: Bench, about: Built) -> dict[str, object]:
    """What docs/faults.md shows: what answers, which codes the server heard, and what is quarantined."""
    running = bench.state.running
    assert running is not None
    assert bench.running == running.entry.model_hash
    codes = sorted({report.error_code for report in bench.server.reports if report.error_code})
    state = "on trial" if bench.state.trial else "confirmed"
    return {
        "runs": f"{running.entry.version} {state}",
        "codes": codes,
        "quarantined": about.artifact in bench.state.quarantine,
    }


def _offer(bench: Bench, new: Built = NEW) -> None:
    bench.repository.publish(2, [new.entry(2), OLD.entry(1)], artifacts=(new,))


def _settle(bench: Bench, new: Built = NEW) -> None:
    for _ in range(4):
        bench.tick(WINDOW_SECONDS)
    assert (new.artifact, None) == (bench.state.confirmed.artifact, bench.state.trial)
    assert hash_of(new) == bench.running
    assert bench.story(new)[-1] == ("healthy", None)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_disk_that_refuses_from_any_write_on_postpones_the_upgrade(tmp_path: Path, refusal: str) -> None:
    """From the n-th writing call on, for every seventh n of an upgrade: the old one serves; later the new one comes."""
    outcomes = []
    for after in range(0, 400, 7):
        (path := tmp_path / str(after)).mkdir()
        bench = _bench(path, disk := RefusingDisk())
        _offer(bench)
        disk.error, disk.after = REFUSALS[refusal], after
        bench.tick()
        bench.tick(WINDOW_SECONDS)
        if not disk.refused:
            break
        assert bench.running in (hash_of(OLD), hash_of(NEW))
        if bench.running == hash_of(OLD):
            outcomes.append(_outcome(bench, NEW))
        disk.error = None
        _settle(bench)
        assert bench.state.quarantine == {}
    else:
        pytest.fail("the upgrade never got through")
    assert len(outcomes) > 5
    hold(f"fault: disk is {refusal}", outcomes[0])
    code = "disk_full" if refusal == "full" else "disk_refused"
    assert all(outcome["codes"] in ([code], []) for outcome in outcomes)
    assert outcomes[0]["codes"] == [code]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB. Only root can mount one."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "muster-test", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
    if done is None or done.returncode:
        pytest.skip(f"no tmpfs can be mounted: {done.stderr.strip() if done else 'this is not root'}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))


def test_a_real_full_disk(small_disk: Path) -> None:
    """Not one page is left: the old model serves; when there is room, the new one comes."""
    bench = _bench(small_disk)
    _offer(bench)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        _fill(filler)
    assert bench.tick().problem == "disk_full"
    assert _outcome(bench, NEW) == {"runs": "1.0.0 confirmed", "codes": ["disk_full"], "quarantined": False}
    bench.start()
    assert hash_of(OLD) == bench.running
    filler.unlink()
    _settle(bench)


def test_a_real_read_only_disk(small_disk: Path) -> None:
    """Remounted read-only, as kernels do after errors: as above, also over a start."""
    bench = _bench(small_disk)
    _offer(bench)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert bench.tick().problem == "disk_refused"
    bench.start()
    assert hash_of(OLD) == bench.running
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    _settle(bench)


def _flip(path: Path) -> None:
    """One bit, in place, and the file looks as old as it was."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x04
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("name", [MODEL, CONFIG, MANIFEST, GOLDEN_EXPECTED])
def test_flipped_bits_under_the_confirmed_model_are_found_and_mended(tmp_path: Path, name: str) -> None:
    """At the next poll; what runs in memory is whole and goes on; the files are fetched again, and serve a start."""
    bench = _bench(tmp_path)
    _flip(bench.agent.device.slots.place(OLD.artifact) / name)
    assert bench.tick().problem == "slot_damaged"
    if name == MODEL:
        hold("fault: flipped bits, confirmed model", _outcome(bench, OLD))
    assert hash_of(OLD) == bench.running
    assert bench.server.reports[-1].model_hash == hash_of(OLD)
    assert bench.tick().problem is None
    bench.server.away = True
    bench.start()
    assert hash_of(OLD) == bench.running
    assert (OLD.artifact, None) == (bench.state.confirmed.artifact, bench.state.staging)


def test_flipped_bits_are_told_again_until_they_can_be_mended(tmp_path: Path) -> None:
    """The artifact is not to be had: the model runs, the device follows what is published next all the same."""
    bench = _bench(tmp_path)
    _flip(bench.agent.device.slots.place(OLD.artifact) / MODEL)
    bench.server.away_for = ".tar"
    for _ in range(3):
        assert bench.tick().problem == "slot_damaged"
        assert hash_of(OLD) == bench.running
    bench.server.away_for = None
    _offer(bench)
    _settle(bench)


def test_flipped_bits_under_a_trial_end_it(tmp_path: Path) -> None:
    """Back to the confirmed release; the artifact is quarantined until it is named again."""
    bench = _bench(tmp_path)
    _offer(bench)
    bench.tick()
    _flip(bench.agent.device.slots.place(NEW.artifact) / MODEL)
    bench.tick()
    hold("fault: flipped bits, model on trial", _outcome(bench, NEW))
    assert bench.story(NEW)[-1] == ("rolled-back", "slot_damaged")
    assert (hash_of(OLD), {NEW.artifact}) == (bench.running, set(bench.state.quarantine))


def test_a_corrupt_slot_at_start_gives_way_to_the_one_before(tmp_path: Path) -> None:
    """The slot before serves, the damage is told, and the release is fetched and tried again."""
    bench = _bench(tmp_path)
    _offer(bench)
    _settle(bench)
    (bench.agent.device.slots.place(NEW.artifact) / MODEL).write_bytes(b"")
    bench.server.away = True
    bench.start()
    assert hash_of(OLD) == bench.running
    bench.server.away = False
    outcome = bench.tick()
    assert outcome.problem == "slot_damaged"
    hold("fault: corrupt slot at start", _outcome(bench, NEW))
    _settle(bench)


def test_reading_again_is_bounded_in_each_round(tmp_path: Path) -> None:
    """No more than a piece in a round, whatever the size; a change is found within one time round."""
    big = build("1.0.0", model=b"simulated model of sharpness 8.0" + b" " * (2 * PIECE))
    bench = Bench(tmp_path, runtime=SimulatedRuntime())
    bench.repository.publish(1, [big.entry(1)], artifacts=(big,))
    bench.server.chunk = 2**20
    bench.start()
    bench.tick()
    place = bench.agent.device.slots.place(big.artifact)
    rehash = Rehash(place, bench.state.running)
    assert [rehash.round() for _ in range(9)] == [None] * 9
    _flip(place / MODEL)
    assert MODEL in [rehash.round() for _ in range(6)]


def _onnx(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto]) -> bytes:
    """The brightness model, whose raw scores pass through `nodes` from `raw` to `late`."""
    weights = numpy_helper.from_array(np.array([[-9.0] * 4, [9.0] * 4], np.float32).T / 4, "w")
    bias = numpy_helper.from_array(np.array([4.5, -4.5], np.float32), "b")
    gemm = helper.make_node("Gemm", ["frame", "w", "b"], ["raw"])
    graph = helper.make_graph(
        [gemm, *nodes, helper.make_node("Softmax", ["late"], ["scores"])],
        "brightness",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        [weights, bias, *initializers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _endless() -> bytes:
    """A loop of 2**62 rounds around the raw scores: every inference hangs."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_on", TensorProto.FLOAT, None),
        ],
    )
    rounds = numpy_helper.from_array(np.array(2**62, np.int64), "rounds")
    true = numpy_helper.from_array(np.array(True), "true")
    return _onnx([helper.make_node("Loop", ["rounds", "true", "raw"], ["late"], body=body)], [rounds, true])


def _folded(size: int, products: int) -> bytes:
    """Products of constant matrices, which the runtime computes while it loads."""
    shape = numpy_helper.from_array(np.array([size, size], np.int64), "shape")
    axes = numpy_helper.from_array(np.array([0.0], np.float32), "zero")
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["m0"])]
    nodes += [helper.make_node("MatMul", [f"m{n}", "m0"], [f"m{n + 1}"]) for n in range(products)]
    nodes += [
        helper.make_node("ReduceMax", [f"m{products}"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["raw", "nothing"], ["late"]),
    ]
    return _onnx(nodes, [shape, axes])


def _wrong() -> bytes:
    frames = np.arange(32, dtype=np.uint8).reshape(8, 4) % 17
    return dump_expected(answers(frames, 2.0))


HARMFUL: dict[str, tuple[str, Callable[[], Built], Callable[[], FirstLoad]]] = {
    "a model that hangs on its first inference": (
        "inference_hung",
        lambda: build("1.1.0", model=_endless(), sharpness=9),
        lambda: FirstLoad(seconds=3.0),
    ),
    "a model that hangs on load": (
        "load_hung",
        lambda: build("1.1.0", model=_folded(4_096, 60), sharpness=9),
        lambda: FirstLoad(seconds=3.0),
    ),
    "low memory at load": (
        "out_of_memory",
        lambda: build("1.1.0", model=_folded(16_384, 1), sharpness=9),
        lambda: FirstLoad(memory=lambda: 256 * 2**20),
    ),
    "golden mismatch": ("golden_mismatch", lambda: build("1.1.0", sharpness=9, expected=_wrong()), FirstLoad),
}


@pytest.mark.parametrize("fault", HARMFUL)
def test_a_first_load_that_does_harm_does_it_in_a_process_of_its_own(tmp_path: Path, fault: str) -> None:
    """Real onnxruntime: the agent goes on, the confirmed model answers, the artifact is quarantined under its code."""
    code, make, first_load = HARMFUL[fault]
    old, new = build("1.0.0"), make()
    bench = Bench(tmp_path, frames=BRIGHT, frames_per_tick=25)
    bench.start()
    bench.confirm(old)
    bench.first_load = first_load()
    bench.start()
    bench.repository.publish(2, [new.entry(2), old.entry(1)], artifacts=(new,))
    bench.tick()
    assert bench.story(new)[-1] == ("failed", code)
    assert (hash_of(old), {new.artifact}) == (bench.running, set(bench.state.quarantine))
    hold(f"fault: {fault}", _outcome(bench, new))


def test_what_loads_is_tried_once_in_a_program(tmp_path: Path) -> None:
    """The first load passes what is good, and does not start a process for the same artifact again."""
    bench = Bench(tmp_path)
    good = build("1.0.0")
    bench.first_load = first = FirstLoad()
    bench.start()
    bench.confirm(good)
    first._load = lambda *_arguments: pytest.fail("it was loaded again")
    first(bench.agent.device.slots.place(good.artifact), bench.state.confirmed)


def test_what_a_device_keeps_on_its_disk_is_bounded(tmp_path: Path) -> None:
    """Two kept releases, one on trial, and the next one packed and unpacked: five artifacts at most, and two journals
    whatever failed and however long the server was away.
    """
    bench = _bench(tmp_path)
    counting = CountingDisk(bench.folder.path)
    bench.folder = DeviceFolder(bench.folder.path, counting)
    bench.start()
    size = 0
    for number in range(2, QUARANTINED + 8):
        release = simulated(f"1.{number}.0", 8.0)
        if number % 8:
            release = replace(release, unsigned=True)
        size = max(size, len(release.data))
        bench.repository.publish(number, [release.entry(number), OLD.entry(1)], artifacts=(release, OLD))
        bench.server.reports_status = 503
        bench.tick(WINDOW_SECONDS)
        if number % 8 == 0 and number % 3:
            bench.tick(WINDOW_SECONDS)
    state = bench.agent.device.state
    assert len(state.outbox) == SPOOL
    assert len(bench.state.quarantine) <= QUARANTINED
    journal = bench.folder.journal.stat().st_size
    assert journal < 400_000 < LIMIT
    metadata = sum(path.stat().st_size for path in bench.folder.tuf.rglob("*.json"))
    assert counting.most <= 5 * (size + 8_192) + 3 * journal + 2 * metadata + 16_384
    hold("bounds", {"reports": SPOOL, "quarantine": QUARANTINED, "artifacts": 5, "journal": 400_000})

"""An artifact of parts and deltas: the fewest bytes, the same artifact, and the whole of it if anything is wrong.

Published by the controller's own publisher; models are real ONNX files, which a simulated runtime runs.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from agent_simulator import BRIGHT, WINDOW_SECONDS, Bench, Built, build, hash_of
from lossy_disk import LossyDisk, QuickDisk, Tree, lay_out
from onnx import helper, numpy_helper
from published_bench import Controller, PublishedFiles
from simulated_runtime import SimulatedRuntime, SimulatedSession

from muster.agent.folder import DeviceFolder
from muster.artifacts.bundle import MODEL
from muster.artifacts.zstandard import pack
from muster.kinds.canonical import canonical_json
from muster.kinds.delta import Delta, DeltaIndex, delta_path, index_target, part_path
from muster.kinds.digest import digest_of, hex_of

SEED = np.random.default_rng(11)
CODES = SEED.integers(-90, 90, 20_000).astype(np.int8)
SCALES = SEED.normal(0, 1, 4_000).astype(np.float32)


class TensorRuntime(SimulatedRuntime):
    """Finds the model's sharpness in the file's comment."""

    def load(self, model: bytes, provider: str, _config: object) -> SimulatedSession:
        found = re.search(rb"sharpness ([0-9.]+);", model)
        assert found is not None
        return SimulatedSession(provider, float(found[1]), self)


def release(version: str, codes: np.ndarray = CODES, scales: np.ndarray = SCALES) -> Built:
    graph = helper.make_graph(
        [], "g", [], [], [numpy_helper.from_array(codes, "codes"), numpy_helper.from_array(scales, "scales")]
    )
    model = onnx.ModelProto.SerializeToString(helper.make_model(graph, doc_string="sharpness 8.0;"))
    return build(version, model=model)


def _some(share: float) -> np.ndarray:
    steps = np.where(SEED.random(CODES.shape) < share, SEED.choice([-1, 1], CODES.shape), 0)
    return (CODES + steps).astype(np.int8)


FIRST = release("1.0.0")
CONFIG_ONLY = release("1.1.0")
FINE_TUNED = release("1.2.0", _some(0.05))
RETRAINED = release("1.3.0", SEED.integers(-90, 90, 20_000).astype(np.int8), SCALES[::-1].copy())
ONE_LAYER = release("1.4.0", CODES, SCALES[::-1].copy())


class LocalFiles(PublishedFiles):
    """What lies in the public folder, but for what a test put in its place."""

    def __init__(self, public: Path) -> None:
        super().__init__(public)
        self.instead: dict[str, bytes | None] = {}

    def get(self, path: str, default: bytes | None = None) -> bytes | None:
        for ending, data in self.instead.items():
            if path.endswith(ending):
                return data
        return super().get(path, default)


@dataclass
class Site:
    controller: Controller
    bench: Bench
    public: Path
    generation: int = 0

    def offer(self, *offered: Built) -> None:
        self.generation += 1
        self.controller.publish(self.generation, list(offered), datetime.now(UTC))

    def confirm(self, built: Built) -> tuple[str | None, int | None]:
        """Offer a release and let the device confirm it: how it came, and in how many bytes."""
        self.offer(built)
        return self.come(built)

    def come(self, built: Built) -> tuple[str | None, int | None]:
        for _ in range(4):
            self.bench.tick(WINDOW_SECONDS)
        assert hash_of(built) == self.bench.running
        assert built.artifact == self.bench.state.confirmed.artifact
        assert list(self.bench.folder.staging.iterdir()) == []
        return self.way(built)

    def way(self, built: Built) -> tuple[str | None, int | None]:
        """What the server heard."""
        told = [report for report in self.bench.server.reports if report.transfer and report.release == built.release]
        return (told[-1].transfer, told[-1].transferred) if told else (None, None)

    def fetched(self, ending: str) -> int:
        return len([path for _, path in self.bench.server.requests if path.endswith(ending)])

    def index(self, built: Built) -> DeltaIndex:
        name = hex_of(built.artifact)
        found = next((self.public / "targets/deltas").glob(f"*.{name}.json"))
        return DeltaIndex.model_validate_json(found.read_bytes())

    def delta(self, built: Built) -> str:
        """Path of the delta that a device with the former release fetches."""
        return delta_path(self.index(built).deltas[0].digest)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    controller = Controller(tmp_path)
    (tmp_path / "bench").mkdir()
    bench = Bench(tmp_path / "bench", runtime=TensorRuntime(), frames=BRIGHT, frames_per_tick=25)
    bench.server.chunk = 4_096
    bench.folder = DeviceFolder(bench.folder.path, QuickDisk())
    bench.folder.root.write_bytes(controller.publisher.init_root(datetime.now(UTC)))
    bench.repository.files = LocalFiles(tmp_path / "public")
    bench.start()
    return Site(controller, bench, tmp_path / "public")


@pytest.mark.parametrize(
    ("built", "most"),
    [(CONFIG_ONLY, 2_500), (ONE_LAYER, 17_500), (FINE_TUNED, 3_500)],
    ids=["config only", "one layer", "fine-tune"],
)
def test_a_device_fetches_what_changed(site: Site, built: Built, most: int) -> None:
    """The index and one delta, a fraction of the artifact; the whole is never asked for."""
    site.confirm(FIRST)
    site.bench.server.requests.clear()
    way, size = site.confirm(built)
    assert way == "delta"
    assert size < most < len(built.data)
    assert (site.fetched(".tar"), site.fetched(".delta")) == (0, 1)


def test_without_a_delta_from_there_the_parts_that_changed_are_fetched(site: Site) -> None:
    """A device that missed a release holds most parts all the same; so does a new one hold none."""
    assert site.confirm(FIRST)[0] == "parts"
    assert site.fetched(".tar") == 0
    site.offer(CONFIG_ONLY)
    site.offer(ONE_LAYER)
    site.bench.server.requests.clear()
    way, size = site.come(ONE_LAYER)
    assert way == "parts"
    assert size < 19_000
    assert (site.fetched(".zst"), site.fetched(".tar")) == (2, 0)


def test_the_way_back_needs_nothing(site: Site) -> None:
    """A kept slot is switched in; no index is read for it."""
    site.confirm(FIRST)
    site.confirm(CONFIG_ONLY)
    site.bench.server.requests.clear()
    site.confirm(FIRST)
    assert (site.fetched(".delta"), site.fetched(".tar")) == (0, 0)


def test_a_damaged_file_is_repaired_by_the_parts_that_were_damaged(site: Site) -> None:
    """The slot's own sound parts count as held."""
    site.confirm(FIRST)
    site.bench.server.requests.clear()
    model = site.bench.agent.device.slots.place(FIRST.artifact) / MODEL
    data = bytearray(model.read_bytes())
    place = data.index(SCALES.tobytes())
    data[place] ^= 1
    model.write_bytes(data)
    for _ in range(6):
        site.bench.tick()
    assert FIRST.files[MODEL] == model.read_bytes()
    assert (site.fetched(".zst"), site.fetched(".tar")) == (1, 0)


def _breakages() -> dict[str, Callable[[Site], dict[str, bytes | None]]]:
    def delta_is(data: Callable[[bytes], bytes | None]) -> Callable[[Site], dict[str, bytes | None]]:
        return lambda site: {
            site.delta(FINE_TUNED): data((site.public / "targets" / site.delta(FINE_TUNED)).read_bytes())
        }

    return {
        "delta missing": delta_is(lambda _: None),
        "delta empty": delta_is(lambda _: b""),
        "delta corrupt": delta_is(lambda data: data[:-9] + b"corrupted"),
        "delta longer": delta_is(lambda data: data + b"more"),
        "index missing": lambda _: {f"{hex_of(FINE_TUNED.artifact)}.json": None},
        "index altered": lambda _: {f"{hex_of(FINE_TUNED.artifact)}.json": b"{}"},
    }


@pytest.mark.parametrize("name", _breakages())
def test_whatever_is_wrong_on_the_way_the_whole_artifact_comes(site: Site, name: str) -> None:
    """In the same round, and nothing is held against the artifact."""
    site.confirm(FIRST)
    site.offer(FINE_TUNED)
    site.bench.repository.files.instead = _breakages()[name](site)
    assert site.bench.tick().problem is None
    assert site.come(FINE_TUNED) == ("full", len(FINE_TUNED.data))
    assert site.bench.state.quarantine == {}


def _other_delta(index: DeltaIndex, packed: dict[str, bytes], data: bytes) -> DeltaIndex:
    packed[delta_path(digest_of(data))] = data
    return index.model_copy(update={"deltas": (Delta(since=FIRST.artifact, digest=digest_of(data), length=len(data)),)})


def _bomb(index: DeltaIndex, packed: dict[str, bytes]) -> DeltaIndex:
    """Every part unpacks to a gigabyte."""
    frame = pack(bytes(2**24)) * 64
    packed[part_path(digest_of(frame))] = frame
    parts = [
        part.model_copy(update={"digest": digest_of(b"?"), "packed": digest_of(frame), "packed_length": len(frame)})
        for part in index.parts
    ]
    return index.model_copy(update={"parts": tuple(parts), "deltas": ()})


def _short(index: DeltaIndex, packed: dict[str, bytes]) -> DeltaIndex:
    """Part 0 is another one, and shorter than the layout takes of it."""
    frame = pack(b"short")
    packed[part_path(digest_of(frame))] = frame
    part = index.parts[0].model_copy(
        update={"digest": digest_of(b"short"), "packed": digest_of(frame), "packed_length": len(frame)}
    )
    return index.model_copy(update={"parts": (part, *index.parts[1:]), "deltas": ()})


def _head(steps: object) -> bytes:
    head = canonical_json({"steps": steps})
    return b"MUSTERD1" + len(head).to_bytes(4, "little") + head


HOSTILE = {
    "bomb": _bomb,
    "part too short": _short,
    "no delta": lambda index, packed: _other_delta(index, packed, b"not a delta"),
    "delta without steps": lambda index, packed: _other_delta(index, packed, _head([])),
    "steps that do not fit": lambda index, packed: _other_delta(
        index, packed, _head([{"part": 900, "method": "whole", "length": 5, "old": None, "width": 1}])
    ),
    "made of a part that nobody has": lambda index, packed: _other_delta(
        index, packed, _head([{"part": 1, "method": "sparse", "length": 5, "old": digest_of(b"?"), "width": 8}])
    ),
    "parts in another order": lambda index, _packed: index.model_copy(
        update={"layout": (index.layout[-1], *index.layout[1:-1], index.layout[0]), "deltas": ()}
    ),
    "of another artifact": lambda index, _packed: index.model_copy(update={"artifact": FIRST.artifact}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_index_that_leads_astray_leads_to_the_whole_artifact(bench: Bench, name: str) -> None:
    """Signed as it should be, and wrong: what it makes is never taken for the artifact, nor unpacked without bound."""
    offered = CONFIG_ONLY
    bench.runtime, bench.frames, bench.frames_per_tick, bench.server.chunk = TensorRuntime(), BRIGHT, 25, 2**20
    bench.start()
    bench.confirm(FIRST)
    files: dict[str, bytes] = {}
    index = HOSTILE[name](_honest(offered, bench.path, files), files)
    for path, data in files.items():
        bench.repository.files[f"/tuf/targets/{path}"] = data
    bench.repository.put(index_target(offered.artifact), canonical_json(index.model_dump(mode="json")))
    bench.repository.publish(2, [offered.entry(2)], artifacts=(offered,))
    bench.tick()
    assert hash_of(offered) == bench.running
    told = [report.transfer for report in bench.server.reports if report.release == offered.release]
    assert "full" in told
    bench.tick(WINDOW_SECONDS)
    assert offered.artifact == bench.state.confirmed.artifact


def _honest(built: Built, folder: Path, files: dict[str, bytes]) -> DeltaIndex:
    """The index that the publisher makes of an artifact, with its files."""
    (folder / "elsewhere").mkdir()
    Controller(folder / "elsewhere").publish(1, [built], datetime.now(UTC))
    targets = folder / "elsewhere/public/targets"
    files |= {f"parts/{path.name}": path.read_bytes() for path in (targets / "parts").iterdir()}
    (found,) = (targets / "deltas").glob("*.json")
    return DeltaIndex.model_validate_json(found.read_bytes())


def test_a_line_that_dies_is_waited_for_while_bytes_come(site: Site) -> None:
    """What came is kept over a restart and goes on where it stopped; the whole is not begun beside it."""
    site.confirm(FIRST)
    site.offer(RETRAINED)
    server = site.bench.server
    server.cut_after, server.cut_for = 8_192, ".delta"
    server.requests.clear()
    rounds = 0
    while site.bench.tick().problem == "server_away":
        rounds += 1
        site.bench.start()
        assert rounds < 20
    assert rounds >= 2
    assert server.ranges
    assert site.come(RETRAINED)[0] == "delta"
    assert site.fetched(".tar") == 0


def test_a_line_that_brings_nothing_is_not_waited_for(site: Site) -> None:
    """Parts that cannot be had must not keep the whole from coming."""
    site.confirm(FIRST)
    site.offer(FINE_TUNED)
    site.bench.server.away_for = ".delta"
    assert site.bench.tick().problem is None
    assert site.come(FINE_TUNED)[0] == "full"


def test_too_little_room_for_both_leaves_the_whole(site: Site) -> None:
    """Made of parts it is there once more; the whole needs less room."""
    site.confirm(FIRST)
    site.offer(FINE_TUNED)
    site.bench.free_bytes = 2**24 + 2 * len(FINE_TUNED.data) + 100
    site.bench.start()
    assert site.come(FINE_TUNED)[0] == "full"


class Killed(BaseException):
    """Power is lost."""


class Recording(LossyDisk):
    """Keeps what would be found after a loss before every call, while an artifact is made of parts."""

    def __init__(self, root: Path) -> None:
        self.trees: dict[bytes, Tree] = {}
        self.calls = 0
        super().__init__(root, self._record)

    def _record(self, _call: str) -> None:
        if not list(self._root.glob("staging/*.parts")):
            return
        self.calls += 1
        self.look()
        for loss in ("all", "mixed"):
            tree = self.left(loss, self.calls)
            self.trees.setdefault(pickle.dumps(tree), tree)


def test_power_may_be_lost_at_every_call(site: Site, tmp_path: Path) -> None:
    """Whatever a delta leaves half done, the device serves the confirmed release and then gets to the new one."""
    site.confirm(FIRST)
    site.offer(FINE_TUNED)
    bench = site.bench
    recording = Recording(bench.folder.path)
    bench.folder = DeviceFolder(bench.folder.path, recording)
    bench.start()
    bench.tick()
    assert recording.calls > 20
    ways = []
    for number, tree in enumerate(recording.trees.values()):
        found = tmp_path / f"found-{number}"
        lay_out(tree, found)
        bench.folder = DeviceFolder(found, QuickDisk())
        bench.server.reports.clear()
        bench.start()
        assert hash_of(FIRST) == bench.running
        ways.append(site.come(FINE_TUNED)[0])
    assert {"delta", "nothing"} >= set(ways)


def test_parts_that_end_the_agent_are_tried_twice(site: Site) -> None:
    """After that the whole artifact comes: the way there must not be a trap."""

    class Deadly(QuickDisk):
        def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
            if path.name == "whole":
                raise Killed
            return super().open(path, flags, mode)

    site.confirm(FIRST)
    site.offer(FINE_TUNED)
    site.bench.folder = DeviceFolder(site.bench.folder.path, Deadly())
    for _ in range(2):
        site.bench.start()
        with pytest.raises(Killed):
            site.bench.tick()
    site.bench.start()
    assert site.come(FINE_TUNED)[0] == "full"

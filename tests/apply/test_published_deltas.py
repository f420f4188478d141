"""Parts and deltas beside the targets: written before they are named, made once, removed when nobody needs them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from publishing import NOW, PRIVATE, PUBLIC, Device, Site, document, entry

from muster.apply.publish import PublishedArtifact
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle
from muster.attest.artifact_files import files_of_bundle
from muster.attest.model_signature import sign_files
from muster.kinds.delta import DeltaIndex, delta_path, index_target, part_path
from muster.kinds.digest import digest_of

WEIGHTS = np.random.default_rng(3).integers(-90, 90, 30_000).astype(np.int8)


def artifact(folder: Path, version: str, moved: int) -> PublishedArtifact:
    """A signed artifact with a model of 30 kB, of which every hundredth weight differs by `moved`."""
    weights = WEIGHTS.copy()
    weights[::100] += moved
    graph = helper.make_graph([], "g", [], [], [numpy_helper.from_array(weights, "w")])
    model: bytes = onnx.ModelProto.SerializeToString(helper.make_model(graph))
    data = pack_bundle(
        {MODEL: model, CONFIG: version.encode(), MANIFEST: b"{}", GOLDEN_INPUTS: b"i", GOLDEN_EXPECTED: b"e"}
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / digest_of(data)[7:]
    path.write_bytes(data)
    return PublishedArtifact(path, digest_of(data), len(data), sign_files(files_of_bundle(data), PRIVATE))


class Story:
    """Generations with the newest release first, published one after the other."""

    def __init__(self, folder: Path) -> None:
        self.site = Site.at(folder)
        self.artifacts = {f"1.{n}.0": artifact(folder / "store", f"1.{n}.0", n) for n in range(4)}

    def publish(self, generation: int, *versions: str) -> None:
        named = {self.artifacts[version].digest: self.artifacts[version] for version in versions}
        content = document(generation, *(entry(self.artifacts[version], version, generation) for version in versions))
        self.site.publisher().publish(generation, [content], named, [PUBLIC], NOW)

    def index(self, version: str) -> DeltaIndex | None:
        """As a device's TUF client finds it."""
        target = index_target(self.artifacts[version].digest)
        device = Device(self.site.folder / f"device-{os.urandom(4).hex()}", self.site)
        updater = device.updater()
        found = updater.get_targetinfo(target)
        if found is None:
            return None
        path = self.site.public / "targets" / found.get_prefixed_paths()[0]
        return DeltaIndex.model_validate_json(path.read_bytes())

    def since(self, version: str) -> list[str]:
        names = {made.digest: name for name, made in self.artifacts.items()}
        found = self.index(version)
        assert found is not None
        return [names[delta.since] for delta in found.deltas]

    def files(self) -> set[str]:
        targets = self.site.public / "targets"
        return {f"{folder}/{path.name}" for folder in ("parts", "deltas") for path in (targets / folder).glob("*")}


def test_an_index_names_files_that_are_there(tmp_path: Path) -> None:
    """Each has the digest and the length that the index says, and a small change makes a small delta."""
    story = Story(tmp_path)
    story.publish(1, "1.0.0")
    story.publish(2, "1.1.0", "1.0.0")
    index = story.index("1.1.0")
    files = {part_path(part.packed): (part.packed, part.packed_length) for part in index.parts}
    files |= {delta_path(delta.digest): (delta.digest, delta.length) for delta in index.deltas}
    for name, (digest, length) in files.items():
        data = (story.site.public / "targets" / name).read_bytes()
        assert (digest, length) == (digest_of(data), len(data))
    assert story.since("1.1.0") == ["1.0.0"]
    assert index.deltas[0].length < index.size / 20


def test_deltas_since_what_devices_may_run_stay_while_their_artifact_is_offered(tmp_path: Path) -> None:
    """What was superseded leaves the document while devices still run it; what is taken back has a way from there."""
    story = Story(tmp_path)
    story.publish(1, "1.0.0")
    story.publish(2, "1.1.0", "1.0.0")
    story.publish(3, "1.1.0")
    story.publish(4, "1.2.0", "1.1.0")
    assert story.since("1.2.0") == ["1.1.0"]
    assert "1.0.0" in story.since("1.1.0")
    story.publish(5, "1.1.0")
    assert {"1.0.0", "1.2.0"} == set(story.since("1.1.0"))


def test_nothing_is_made_twice(tmp_path: Path) -> None:
    """A generation that changes only percentages writes no part and no delta again, not even the same bytes."""
    story = Story(tmp_path)
    story.publish(1, "1.0.0")
    story.publish(2, "1.1.0", "1.0.0")
    folders = [story.site.public / "targets" / name for name in ("parts", "deltas")]
    stamps = {path: path.stat().st_mtime_ns for folder in folders for path in folder.glob("*.[zd]*")}
    story.publish(3, "1.1.0", "1.0.0")
    assert stamps.items() <= {path: path.stat().st_mtime_ns for folder in folders for path in folder.glob("*")}.items()


def test_files_go_one_generation_after_the_last_that_names_them(tmp_path: Path) -> None:
    """A device may be fetching them; after that nothing of them is left, and neither is a half-written file."""
    story = Story(tmp_path)
    story.publish(1, "1.0.0")
    old = {part_path(part.packed) for part in story.index("1.0.0").parts}
    (story.site.public / "targets/parts/.incoming-1").write_bytes(b"half")
    story.publish(2, "1.3.0")
    gone = old - {part_path(part.packed) for part in story.index("1.3.0").parts}
    assert gone
    assert gone <= story.files()
    story.publish(3, "1.3.0")
    assert not gone & story.files()
    assert "parts/.incoming-1" not in story.files()
    story.publish(4)
    story.publish(5)
    assert set() == story.files()


def test_a_part_that_is_lost_or_cut_short_is_made_again(tmp_path: Path) -> None:
    """The next generation repairs what the former one named."""
    story = Story(tmp_path)
    story.publish(1, "1.0.0")
    first, second = (story.site.public / "targets" / part_path(part.packed) for part in story.index("1.0.0").parts)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    story.publish(2, "1.0.0")
    for part in story.index("1.0.0").parts:
        path = story.site.public / "targets" / part_path(part.packed)
        assert part.packed == digest_of(path.read_bytes())


def test_the_same_generation_may_be_published_again(tmp_path: Path) -> None:
    """What devices could run before decides which deltas there are; the second call does not see that any more."""
    story = Story(tmp_path)
    story.publish(1, "1.0.0")
    story.publish(2, "1.1.0")
    before = story.files()
    story.publish(2, "1.1.0")
    assert before == story.files()
    assert story.since("1.1.0") == ["1.0.0"]
    assert story.site.publisher().refresh(NOW + timedelta(hours=13))
    assert story.since("1.1.0") == ["1.0.0"]


def test_an_older_artifact_that_is_damaged_makes_no_delta(tmp_path: Path) -> None:
    """Its parts could not be those of any device."""
    story = Story(tmp_path)
    story.publish(1, "1.0.0")
    story.artifacts["1.0.0"].path.write_bytes(b"damaged")
    for path in (story.site.public / "targets/artifacts").glob("*.tar"):
        path.write_bytes(b"damaged")
    story.publish(2, "1.1.0")
    assert story.since("1.1.0") == []

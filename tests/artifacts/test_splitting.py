"""Splitting, packing and deltas: whatever the model holds, what comes back is what went in."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle, unpack_bundle
from muster.artifacts.deltas import make_delta, make_part, pack_part, read_head, whole
from muster.artifacts.initializers import find_tensors
from muster.artifacts.opened import OpenArtifact, open_files, open_tar
from muster.artifacts.splitting import SMALLEST, Split, SplitPart, split
from muster.artifacts.zstandard import LARGEST_PREFIX, pack
from muster.kinds.delta import Step
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused

SEED = np.random.default_rng(5)
WEIGHTS = SEED.normal(0, 1, (64, 96)).astype(np.float32)
CODES = SEED.integers(-127, 128, (128, 300)).astype(np.int8)


def model(**tensors: np.ndarray) -> bytes:
    """A file of ONNX with these initializers."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()],
    )
    data: bytes = onnx.ModelProto.SerializeToString(helper.make_model(graph))
    return data


def bundle(model_file: bytes, config: bytes = b"{}", golden: bytes = b"golden") -> dict[str, bytes]:
    return {
        MODEL: model_file,
        CONFIG: config,
        MANIFEST: b"{}",
        GOLDEN_INPUTS: golden,
        GOLDEN_EXPECTED: b"expected",
    }


@contextmanager
def opened(files: dict[str, bytes], folder: Path) -> Iterator[OpenArtifact]:
    tar = folder / "artifact.tar"
    tar.write_bytes(pack_bundle(files))
    with open_tar(tar, {name: len(data) for name, data in files.items()}) as artifact:
        yield artifact


def joined(found: Split, parts: list[bytes]) -> bytes:
    """By the layout alone, as a device does."""
    files = [io.BytesIO(data) for data in parts]
    out = []
    for number, length in found.layout:
        if number:
            files[number].seek(0)
        out.append(files[number].read(length))
    return b"".join(out)


def remade(delta: bytes, new: Split, old: Split) -> list[bytes]:
    """Every part of the newer artifact, of the delta and the older one."""
    held = {part.digest: part for part in old.parts}
    file = io.BytesIO(delta)
    made = {}
    for step in read_head(file).steps:
        frame = io.BytesIO(file.read(step.length))
        part = new.parts[step.part]
        made[part.digest] = b"".join(make_part(step, part.length, held.get(step.old or ""), frame.read))
    return [made[part.digest] if part.digest in made else held[part.digest].data() for part in new.parts]


def test_every_large_tensor_and_file_is_a_part(tmp_path: Path) -> None:
    """Small tensors stay with the rest; the raw bytes of large ones are cut out whole, under their names."""
    files = bundle(model(w=WEIGHTS, small=np.ones(4, np.float32), codes=CODES), golden=bytes(SMALLEST))
    with opened(files, tmp_path) as artifact:
        found = split(artifact)
        parts = {part.name: part for part in found.parts}
        assert {b"", b"tensor w", b"tensor codes", b"file golden-inputs.tensors"} == set(parts)
        assert parts[b"tensor w"].data() == WEIGHTS.tobytes()
        assert (parts[b"tensor w"].width, parts[b"tensor codes"].width) == (4, 1)
        assert digest_of(CODES.tobytes()) == parts[b"tensor codes"].digest


def test_packed_and_unpacked_artifacts_split_alike(tmp_path: Path) -> None:
    """A device has the files and no tar; what it cuts are the same bytes."""
    files = bundle(model(w=WEIGHTS, codes=CODES))
    with opened(files, tmp_path) as artifact:
        packed = split(artifact)
        digests = [part.digest for part in packed.parts]
    unpack_bundle(tmp_path / "artifact.tar", tmp_path / "slot")
    with open_files(tmp_path / "slot") as artifact:
        found = split(artifact)
        assert (digests, packed.layout) == ([part.digest for part in found.parts], found.layout)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    head=st.binary(max_size=40),
    cut=st.integers(0, 30_000),
    flipped=st.lists(st.tuples(st.integers(0, 29_999), st.integers(0, 255)), max_size=4),
    config=st.binary(max_size=9_000),
)
@example(head=b"\x3a\x80", cut=0, flipped=[], config=b"")
def test_joined_parts_are_the_artifact(
    tmp_path: Path, head: bytes, cut: int, flipped: list[tuple[int, int]], config: bytes
) -> None:
    """Of any bytes in the model's place: whole, cut short, altered, or no ONNX at all."""
    data = bytearray(head + model(w=WEIGHTS)[cut:])
    for place, value in flipped:
        if place < len(data):
            data[place] = value
    files = bundle(bytes(data), config)
    with opened(files, tmp_path) as artifact:
        found = split(artifact)
        parts = [part.data() for part in found.parts]
        packed = [b"".join(whole(len(part), io.BytesIO(pack(part)).read)) for part in parts]
    assert pack_bundle(files) == joined(found, parts)
    assert packed == parts


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_the_walk_leave_its_file(data: bytes) -> None:
    """Whatever they are, tensors lie inside and apart from each other, or there are none."""
    try:
        found = find_tensors(lambda start, length: data[start : start + length], len(data))
    except ValueError:
        return
    ends = [0, *(place.start + place.length for place in found)]
    assert all(end <= place.start for end, place in zip(ends, found, strict=False))
    assert ends[-1] <= len(data)


def _changed(tensor: np.ndarray, share: float) -> np.ndarray:
    steps = np.where(SEED.random(tensor.shape) < share, SEED.choice([-1, 1], tensor.shape), 0)
    if tensor.dtype == np.float32:
        return (tensor.view(np.int32) + steps.astype(np.int32)).view(np.float32)
    return (tensor.astype(np.int16) + steps).astype(np.int8)


@pytest.mark.parametrize(
    ("change", "method"),
    [
        (lambda: {"w": WEIGHTS, "codes": CODES}, None),
        (lambda: {"w": WEIGHTS, "codes": _changed(CODES, 0.02)}, "sparse"),
        (lambda: {"w": WEIGHTS, "codes": _changed(CODES, 0.75)}, "dense"),
        (lambda: {"w": _changed(WEIGHTS, 0.05), "codes": CODES}, "sparse"),
        (lambda: {"w": _changed(WEIGHTS, 1.0), "codes": CODES}, "dense"),
        (lambda: {"w": WEIGHTS, "codes": SEED.integers(-127, 128, CODES.shape).astype(np.int8)}, "whole"),
        (lambda: {"w": WEIGHTS, "codes": np.roll(CODES, 1, axis=0)}, "prefix"),
        (lambda: {"w": WEIGHTS, "other": SEED.normal(size=5_000)}, "whole"),
        (lambda: {"w": WEIGHTS, "codes": CODES[:100]}, "prefix"),
    ],
    ids=["config only", "few codes", "most codes", "few floats", "all floats", "new", "moved", "renamed", "shorter"],
)
def test_a_delta_makes_the_newer_artifact(tmp_path: Path, change, method: str | None) -> None:
    """Each kind of change is told in the way that is made for it, and comes back byte for byte."""
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    files = bundle(model(**change()), config=b'{"threshold":2}')
    with opened(bundle(model(w=WEIGHTS, codes=CODES)), before) as older, opened(files, after) as newer:
        new, old = split(newer), split(older)
        delta = make_delta(new, old, pack_part)
        assert joined(new, remade(delta, new, old)) == pack_bundle(files)
        methods = [step.method for step in read_head(io.BytesIO(delta)).steps if step.part]
        assert ([method] if method else []) == methods
        assert len(delta) < sum(len(pack_part(part)) for part in new.parts)


def test_a_frame_that_gives_more_or_less_than_declared_is_refused() -> None:
    """A bomb is stopped at its declared length, whatever it would grow to."""
    bomb = pack(bytes(2**24))
    asked = []

    def read(most: int) -> bytes:
        asked.append(most)
        return bomb[(len(asked) - 1) * most :][:most]

    with pytest.raises(Refused, match="longer"):
        sum(len(piece) for piece in whole(1_000, read))
    for data, length in ((pack(b"short"), 6), (pack(b"short")[:-1], 5), (pack(b"short") + b"x", 5), (b"junk" * 9, 5)):
        with pytest.raises(Refused):
            list(whole(length, io.BytesIO(data).read))


def _part(data: bytes) -> SplitPart:
    return SplitPart(b"", 1, ((0, len(data)),), lambda start, length: data[start : start + length])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["dense", "sparse"]), st.sampled_from([1, 2, 4, 8]))
def test_no_delta_makes_more_than_was_declared(content: bytes, method: str, width: int) -> None:
    """Blocks of any content give the declared length, or are refused."""
    step = Step(part=0, method=method, length=1, old=digest_of(b""), width=width)
    try:
        made = b"".join(make_part(step, 64, _part(bytes(64)), io.BytesIO(pack(content)).read))
    except Refused:
        return
    assert len(made) == 64


def test_a_prefix_is_held_in_memory_only_up_to_its_limit() -> None:
    """A delta that asks for more is refused before anything is read."""
    old = SplitPart(b"", 1, ((0, LARGEST_PREFIX + 1),), lambda _start, _length: pytest.fail("read"))
    step = Step(part=0, method="prefix", length=1, old=digest_of(b""))
    with pytest.raises(Refused):
        list(make_part(step, 10, old, io.BytesIO(b"").read))

"""Bytes on the wire and memory to unpack them: Muster's parts and deltas beside what else there is.

    python benchmarks/delta_size.py [--filters 1024] [--write]

The model is this repository's meter-reader (training/meter_reader) with more filters, so that there is something to
send: trained exactly, then by stochastic gradient descent in numpy (seeded, batches of 32, softmax cross-entropy,
through pooling and convolution), because exact weights lie on a grid that no other trainer would leave behind. float32
as trained; int8 by the recipe of its releases. Four next releases:

    config only    the same model, another threshold
    one layer      the read-out trained anew from other epochs, the kernels as they were
    fine-tune      a few small steps more, over all weights
    full retrain   another seed: other kernels, another read-out

Every method makes the newer artifact (one tar) of the older one in a process of its own, and what it made is compared
byte for byte. Bytes: all that a device fetches, for Muster the index too. Memory: the largest resident set of that
process (wait4), and behind it what the same program takes to start (Python with the libraries that the decoder needs,
for Muster those that an agent holds anyway); less than a bare Python cannot be seen. A program that is not installed is
left out, and said so. `--write` keeps the tables in docs/deltas.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "controller")]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import yaml  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from training.meter_reader.__main__ import snapshot  # noqa: E402
from training.meter_reader.digits import Digits, load  # noqa: E402
from training.meter_reader.exact import Hyperparameters, train  # noqa: E402
from training.meter_reader.network import IR, OPSET, to_onnx  # noqa: E402

from muster.apply.publish import PublishedArtifact, Publisher  # noqa: E402
from muster.apply.tuf_keys import TufKeys  # noqa: E402
from muster.artifacts.bundle import (  # noqa: E402
    CONFIG,
    GOLDEN_EXPECTED,
    GOLDEN_INPUTS,
    MANIFEST,
    MODEL,
    pack_bundle,
    unpack_bundle,
)
from muster.artifacts.manifest import Manifest, list_files  # noqa: E402
from muster.attest.keys import new_private_key, public_half  # noqa: E402
from muster.attest.model_signature import sign_files  # noqa: E402
from muster.kinds.canonical import canonical_json  # noqa: E402
from muster.kinds.cohort import Selector  # noqa: E402
from muster.kinds.desired import DesiredDocument, Entry, OrderedCohort  # noqa: E402
from muster.kinds.digest import digest_of, hex_of  # noqa: E402
from muster.kinds.recipe import Recipe  # noqa: E402
from muster.kinds.release import Artifact, Inference, OnnxVersions  # noqa: E402

CASES = ("config only", "one layer", "fine-tune", "full retrain")
KIB = 1024
DEVICE = ROOT / "benchmarks/delta_device.py"
PAGE = ROOT / "docs/deltas.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
RELEASES = ROOT / "training/meter_reader/releases"
TAUGHT, TUNED, RATE = 60, 5, 2e-4
Weights = dict[str, np.ndarray]


# --- models -----------------------------------------------------------------------------------------------------------


def taught(digits: Digits, weights: Weights, steps: int, seed: int, only: tuple[str, ...] = ()) -> Weights:
    """After so many steps of gradient descent; `only`: the tensors that learn, all by default."""
    random = np.random.Generator(np.random.PCG64(seed))
    weights = {name: value.copy() for name, value in weights.items()}
    part = digits.training
    for _ in range(steps):
        rows = random.integers(0, len(part), 32)
        for name, gradient in _gradients(part.frames[rows] / 16, part.labels[rows], weights).items():
            if not only or name in only:
                weights[name] -= (RATE * gradient).astype(np.float32)
    return weights


def _gradients(frames: np.ndarray, labels: np.ndarray, weights: Weights) -> Weights:
    """Of the mean cross-entropy, by the layers of `to_onnx`."""
    kernels = weights["kernels"].reshape(-1, 9)
    padded = np.pad(frames.astype(np.float32), ((0, 0), (1, 1), (1, 1)))
    patches = np.stack([padded[:, row : row + 8, column : column + 8] for row in range(3) for column in range(3)], -1)
    planes = np.maximum(patches @ kernels.T, 0)
    # [N, 4, 4, F, 4]: the four places of every pool last.
    pools = planes.reshape(-1, 4, 2, 4, 2, len(kernels)).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4, 4, len(kernels), 4)
    features = pools.max(-1).transpose(0, 3, 1, 2).reshape(len(frames), -1)
    scores = features @ weights["weights"].T + weights["bias"]
    shares = np.exp(scores - scores.max(1, keepdims=True))
    error = shares / shares.sum(1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    back = (error @ weights["weights"]).reshape(-1, len(kernels), 4, 4).transpose(0, 2, 3, 1)
    chosen = (pools.argmax(-1)[..., None] == np.arange(4)) & (pools > 0)
    flow = (chosen * back[..., None]).reshape(-1, 4, 4, len(kernels), 2, 2).transpose(0, 1, 4, 2, 5, 3)
    into = flow.reshape(-1, 8, 8, len(kernels))
    kernel_gradient = np.tensordot(into, patches, ([0, 1, 2], [0, 1, 2])).reshape(weights["kernels"].shape)
    return {"kernels": kernel_gradient, "weights": error.T @ features, "bias": error.sum(0)}


def versions(digits: Digits, filters: int) -> dict[str, tuple[onnx.ModelProto, Weights]]:
    """The older model under "", and the newer one of every case."""

    def exact(seed: int, epochs: int) -> tuple[onnx.ModelProto, Weights]:
        parameters = Hyperparameters(filters=filters, epochs=epochs, shifts=1, seed=seed)
        model = onnx.load_from_string(to_onnx(train(digits.training, parameters)))
        return model, {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}

    model, start = exact(8, 3)
    base = taught(digits, start, TAUGHT, 1)
    again = {**exact(8, 2)[1], "kernels": base["kernels"]}
    other, anew = exact(9, 3)
    return {
        "": (model, base),
        "config only": (model, base),
        "one layer": (model, taught(digits, again, TAUGHT, 2, ("weights", "bias"))),
        "fine-tune": (model, taught(digits, base, TUNED, 3)),
        "full retrain": (other, taught(digits, anew, TAUGHT, 4)),
    }


def with_weights(model: onnx.ModelProto, weights: Weights) -> bytes:
    """The file of a model with these weights."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for item in changed.graph.initializer:
        item.raw_data = weights[item.name].astype("<f4").tobytes()
    return bytes(changed.SerializeToString(deterministic=True))


def quantized(model: bytes, digits: Digits, inference: Inference) -> bytes:
    """As the recipe of meter-reader's releases makes it."""
    from muster.build import stage_functions

    declared = yaml.safe_load((RELEASES / "recipe.yaml").read_text())
    recipe = Recipe.model_validate({**declared, "import": {"maxSize": "64MiB"}})
    pins = OnnxVersions(opset=OPSET, ir=IR)
    imported = stage_functions.import_model(model, recipe.import_, pins)
    prepared = stage_functions.preprocess(imported, recipe.preprocess, inference)
    frames = snapshot(digits.snapshots["calibration"])
    ranges = stage_functions.calibrate(prepared, frames, recipe.calibrate, inference, lambda _done, _all: None)
    table = stage_functions.snap(ranges, recipe.snap)
    return stage_functions.quantize(prepared, table, recipe.quantize, pins)


def bundle(version: str, model: bytes, digits: Digits, inference: Inference) -> dict[str, bytes]:
    """The files of an artifact, with real golden answers."""
    from muster.build import stage_functions

    golden = snapshot(digits.snapshots["golden"])
    files = {
        MODEL: model,
        CONFIG: canonical_json(inference.model_dump(mode="json")),
        GOLDEN_INPUTS: golden,
        GOLDEN_EXPECTED: stage_functions.expect(model, golden, inference),
    }
    manifest = Manifest(
        model="meter-reader",
        version=version,
        onnx=OnnxVersions(opset=OPSET, ir=IR),
        golden_tolerance="0.05",
        files=list_files(files),
    )
    return {**files, MANIFEST: manifest.dump()}


# --- methods ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """An older and a newer artifact as tars, and a folder to work in."""

    older: Path
    newer: Path
    folder: Path
    files: Mapping[str, bytes]
    older_files: Mapping[str, bytes]


@dataclass(frozen=True)
class Found:
    """Bytes fetched; CPU seconds to make them; KiB of the decoder at most and after its start."""

    size: int
    made: float
    peak: int
    start: int
    note: str = ""


LAUNCHER = """
import os, sys
child = os.fork()
if not child:
    os.execvp(sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(child, 0)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A program is taken for as large as whoever started it: here somebody small."""


def spent(command: list[str]) -> tuple[int, float]:
    """Largest resident set in KiB and CPU seconds of a program that must succeed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-800:]}")
    peak, seconds = done.stdout.split()[-2:]
    return int(peak), float(seconds)


def program(
    make: list[str], unpack: list[str], start: list[str], sent: Callable[[], int], out: Path, pair: Pair
) -> Found:
    """A pair of commands of other programs."""
    _, made = spent(make)
    out.unlink(missing_ok=True)
    peak, _ = spent(unpack)
    assert out.read_bytes() == pair.newer.read_bytes(), f"{unpack[0]} made something else"
    return Found(sent(), made, peak, spent(start)[0])


def plain(pair: Pair) -> Found:
    """The file."""
    out = pair.folder / "copied"
    peak, _ = spent(["cp", str(pair.newer), str(out)])
    return Found(pair.newer.stat().st_size, 0.0, peak, spent(["true"])[0])


def zstd(pair: Pair, *patch: str) -> Found:
    """The program of that name."""
    packed, out = pair.folder / "packed.zst", pair.folder / "out"
    make = ["zstd", "-q", "-f", "-19", *patch, str(pair.newer), "-o", str(packed)]
    unpack = ["zstd", "-q", "-f", "-d", *patch, str(packed), "-o", str(out)]
    return program(make, unpack, ["zstd", "--version"], lambda: packed.stat().st_size, out, pair)


def zstd_patch(pair: Pair) -> Found:
    """With the older artifact as what comes before."""
    return zstd(pair, f"--patch-from={pair.older}")


def bsdiff(pair: Pair) -> Found:
    """The package bsdiff4."""
    patch, out = pair.folder / "patch.bsdiff", pair.folder / "out"
    call = "import sys, bsdiff4; bsdiff4.{}(*sys.argv[1:])"
    make = [sys.executable, "-c", call.format("file_diff"), str(pair.older), str(pair.newer), str(patch)]
    unpack = [sys.executable, "-c", call.format("file_patch"), str(pair.older), str(out), str(patch)]
    start = [sys.executable, "-c", "import bsdiff4"]
    return program(make, unpack, start, lambda: patch.stat().st_size, out, pair)


def xdelta(pair: Pair) -> Found:
    """xdelta3 with its own second compression."""
    patch, out = pair.folder / "patch.xdelta", pair.folder / "out"
    make = ["xdelta3", "-q", "-f", "-e", "-9", "-S", "lzma", "-s", str(pair.older), str(pair.newer), str(patch)]
    unpack = ["xdelta3", "-q", "-f", "-d", "-s", str(pair.older), str(patch), str(out)]
    return program(make, unpack, ["xdelta3", "config"], lambda: patch.stat().st_size, out, pair)


def casync(pair: Pair) -> Found:
    """Chunks of about 16 KiB that the older artifact does not have, and the index."""
    store, index, out = pair.folder / "store.castr", pair.folder / "new.caibx", pair.folder / "out"
    shutil.rmtree(store, ignore_errors=True)
    common = [f"--store={store}", "--chunk-size=4096:16384:65536"]
    spent(["casync", "make", *common, str(pair.folder / "old.caibx"), str(pair.older)])
    held = {path for path in store.rglob("*") if path.is_file()}

    def sent() -> int:
        new = [path for path in store.rglob("*") if path.is_file() and path not in held]
        return sum(path.stat().st_size for path in new) + index.stat().st_size

    make = ["casync", "make", *common, str(index), str(pair.newer)]
    unpack = ["casync", "extract", f"--store={store}", f"--seed={pair.older}", str(index), str(out)]
    return program(make, unpack, ["casync", "--version"], sent, out, pair)


def muster(pair: Pair) -> Found:
    """What the publisher publishes, made into the artifact by the agent's own code."""
    site, base, out = pair.folder / "site", pair.folder / "slot", pair.folder / "made"
    shutil.rmtree(site, ignore_errors=True)
    key, publisher = new_private_key(), Publisher(site / "public", TufKeys.create(site / "keys"))
    began = time.process_time()
    for generation, (tar, files) in enumerate(((pair.older, pair.older_files), (pair.newer, pair.files)), 1):
        offer(publisher, generation, tar, files, key)
    made = time.process_time() - began
    for folder in (base, out):
        shutil.rmtree(folder, ignore_errors=True)
    unpack_bundle(pair.older, base)
    newer, older = digest_of(pair.newer.read_bytes()), digest_of(pair.older.read_bytes())
    (index,) = (site / "public/targets/deltas").glob(f"*.{hex_of(newer)}.json")
    report = pair.folder / "report.json"
    place = out / f"{hex_of(newer)}.tar"
    command = [sys.executable, str(DEVICE), str(index), str(place), str(base), older, str(report)]
    start, _ = spent(command[:3])
    peak, _ = spent(command)
    assert place.read_bytes() == pair.newer.read_bytes(), "the parts made something else"
    found = json.loads(report.read_text())
    size = found["fetched"] + index.stat().st_size
    return Found(size, made, peak, start, f"{found['way']}; the index {index.stat().st_size:,}")


def offer(publisher: Publisher, generation: int, tar: Path, files: Mapping[str, bytes], key: bytes) -> None:
    """Publish one artifact to one device class."""
    data = tar.read_bytes()
    entry = Entry(
        release=f"meter-reader/1.{generation}.0",
        version=f"1.{generation}.0",
        since=generation,
        artifact=Artifact(digest=digest_of(data), size=len(data)),
        model_hash=digest_of(files[MODEL]),
        config_version=digest_of(files[CONFIG]),
        runtime_version="1.31.1",
        provider="CPUExecutionProvider",
        health_window="60s",
        salt="meter-reader",
        ppm={"all": 1_000_000},
    )
    document = DesiredDocument(
        model="meter-reader",
        device_class="cam",
        generation=generation,
        commit="0" * 40,
        poll_interval="30s",
        cohorts=(OrderedCohort(name="all", selector=Selector()),),
        entries=(entry,),
    )
    signature = sign_files({name: digest_of(content) for name, content in files.items()}, key)
    artifact = PublishedArtifact(tar, digest_of(data), len(data), signature)
    publisher.publish(generation, [document], {artifact.digest: artifact}, [public_half(key)], datetime.now(UTC))


# --- table ------------------------------------------------------------------------------------------------------------

METHODS: dict[str, tuple[Callable[[Pair], Found], str]] = {
    "full file": (plain, "cp"),
    "zstd -19": (zstd, "zstd"),
    "zstd -19 --patch-from": (zstd_patch, "zstd"),
    "bsdiff4": (bsdiff, ""),
    "xdelta3 -9 -S lzma": (xdelta, "xdelta3"),
    "casync, 16 KiB": (casync, "casync"),
    "muster": (muster, ""),
}


def missing(name: str, needed: str) -> str | None:
    """Why a method is left out."""
    if name == "bsdiff4":
        try:
            import bsdiff4  # noqa: F401
        except ImportError:
            return "the package bsdiff4 is not installed"
    return f"the program {needed} is not installed" if needed and not shutil.which(needed) else None


def tables(filters: int) -> Iterator[str]:
    """Markdown, a table for each precision."""
    digits = load()
    inference = Inference.model_validate(yaml.safe_load((RELEASES / "inference-scale.yaml").read_text()))
    other = replace_threshold(inference)
    models = versions(digits, filters)
    for name, (_, needed) in METHODS.items():
        if why := missing(name, needed):
            yield f"Left out: {name}, because {why}."
    for precision in ("float32", "int8"):
        files = {}
        for number, (case, (model, weights)) in enumerate(models.items()):
            data = with_weights(model, weights)
            data = quantized(data, digits, inference) if precision == "int8" else data
            files[case] = bundle(f"1.{number}.0", data, digits, other if case == "config only" else inference)
        yield from table(precision, files)


def replace_threshold(inference: Inference) -> Inference:
    """The config of the first case."""
    return inference.model_copy(update={"thresholds": inference.thresholds.model_copy(update={"confidence": 600_000})})


def table(precision: str, files: dict[str, dict[str, bytes]]) -> Iterator[str]:
    """One precision: a row for each case and method."""
    yield ""
    yield f"**{precision}**, artifact of {len(pack_bundle(files[''])):,} bytes"
    yield ""
    yield "| next release | method | bytes | of the file | made in, CPU s | unpacked in, MiB | of it at start, MiB |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for case in CASES:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            pair = Pair(folder / "old.tar", folder / "new.tar", folder, files[case], files[""])
            pair.older.write_bytes(pack_bundle(files[""]))
            pair.newer.write_bytes(pack_bundle(files[case]))
            title = f"{case}{moved(files[''][MODEL], files[case][MODEL])}"
            for name, (method, needed) in METHODS.items():
                if missing(name, needed) is None:
                    yield row(title, name, method(pair), pair.newer.stat().st_size)


def moved(old: bytes, new: bytes) -> str:
    """What share of the weights a case changed."""
    tensors = [
        {item.name: numpy_helper.to_array(item) for item in onnx.load_from_string(data).graph.initializer}
        for data in (old, new)
    ]
    pairs = [(tensors[0][name], tensors[1][name]) for name in tensors[0] if tensors[0][name].size > KIB]
    changed = sum(int((before != after).sum()) for before, after in pairs)
    return f" ({changed / sum(before.size for before, _ in pairs):.1%} of weights)"


def row(case: str, name: str, found: Found, full: int) -> str:
    """One line."""
    note = f" ({found.note})" if found.note else ""
    return (
        f"| {case} | {name}{note} | {found.size:,} | {found.size / full:.1%} | {found.made:.2f} "
        f"| {found.peak / KIB:.1f} | {found.start / KIB:.1f} |"
    )


def main() -> None:
    """Measure, print, and keep if asked."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--filters", type=int, default=1_024)
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    lines = []
    for line in tables(given.filters):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}")


if __name__ == "__main__":
    main()

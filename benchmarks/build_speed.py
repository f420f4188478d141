"""A release's build beside a bare `onnxruntime.quantization.quantize_static`, on the same model and frames.

    python benchmarks/build_speed.py [--frames 64] [--rounds 5]

Interleaved in one run, in one process that has imported everything, on one thread: the build from its source, with
nothing cached and for each kind of calibration, and quantize_static as its documentation calls it, which calibrates in
float32 and writes a file. Both are run twice a round, so that what differs between two runs of the same thing (noise)
stands beside the ratio. Processor time, medians; in brackets the least and the largest ratio of one round.

The build does what quantize_static leaves out: it checks the source as hostile input, computes ranges in float64 so
that they are the same on every CPU, hashes every stage, answers the golden frames in float64 and in the runtime, and
counts accuracy. What an environment and a sandbox of their own cost is not in it: they cost the same for any model.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

# Before numpy is imported: threads that wait cost processor time.
os.environ.update(ORT_DISABLE_TELEMETRY="1", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "controller")]

import numpy as np  # noqa: E402

import recipe_matrix  # noqa: E402
from architectures import SMALL, Architecture  # noqa: E402
from muster.artifacts.store import Store  # noqa: E402
from muster.artifacts.tensors import dump_tensors  # noqa: E402
from muster.build import onnx_runtime  # noqa: E402
from muster.build.pipeline import BuildInputs, build  # noqa: E402

ARCHITECTURES = ("mobilenet", "transformer", "squeezenet")
RECIPES = ("static, min-max", "static, percentile", "static, entropy")
BATCH = 4


class Reader:
    """Calibration frames as quantize_static wants them."""

    def __init__(self, frames: np.ndarray) -> None:
        self._batches = iter(np.split(frames, range(BATCH, len(frames), BATCH)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"frame": batch}


def bare(architecture: Architecture, frames: int, folder: Path) -> None:
    """As its documentation calls it, with the recipe's settings."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    reader: CalibrationDataReader = Reader(architecture.frames(frames, 1) / np.float32(255))
    source = folder / "source.onnx"
    source.write_bytes(architecture.model)
    quantize_static(
        str(source),
        str(folder / "quantized.onnx"),
        reader,
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(architecture.operators),
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def with_frames(name: str, architecture: Architecture, frames: int, store: Store) -> BuildInputs:
    """The matrix's inputs, with so many frames to calibrate on."""
    tensors = {"frames": architecture.frames(frames, 1), "labels": np.zeros(frames, np.int64)}
    return replace(recipe_matrix.inputs(name, architecture, store), calibration=store.put(dump_tensors(tensors)))


def theirs(architecture: Architecture, frames: int) -> float:
    """Processor seconds of quantize_static."""
    with tempfile.TemporaryDirectory(prefix="muster-speed-") as folder:
        start = time.process_time()
        bare(architecture, frames, Path(folder))
        return time.process_time() - start


def ours(architecture: Architecture, frames: int, name: str) -> float:
    """Processor seconds of a build, with its inputs in a store and nothing else."""
    with tempfile.TemporaryDirectory(prefix="muster-speed-") as folder:
        store = Store(Path(folder))
        inputs = with_frames(name, architecture, frames, store)
        start = time.process_time()
        build(inputs, store)
        return time.process_time() - start


def interleaved(rounds: int, runs: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each, one after the other in every round; a first round warms up and is dropped."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            seconds = run()
            if number:
                found[name].append(seconds)
    return found


def compare(chosen: str, frames: int, rounds: int) -> None:
    """Print one architecture's medians, ratios and noise."""
    architecture = SMALL[chosen]()
    peer = "quantize_static"
    runs: dict[str, Callable[[], float]] = dict.fromkeys((peer, f"{peer}, again"), lambda: theirs(architecture, frames))
    for name in RECIPES:
        runs[f"build, {name}"] = lambda name=name: ours(architecture, frames, name)
    runs[f"build, {RECIPES[0]}, again"] = runs[f"build, {RECIPES[0]}"]
    found = interleaved(rounds, runs)
    for name, seconds in found.items():
        ratios = [one / other for one, other in zip(seconds, found[peer], strict=True)]
        ratio = f"{statistics.median(ratios):5.2f} x  ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{chosen:12} {name:32} {statistics.median(seconds):7.3f} s  {ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    # quantize_static asks for its own pre-processing, which computes with kernels of this CPU.
    logging.disable(logging.WARNING)
    print(f"onnxruntime {onnx_runtime.VERSION}, {given.frames} frames in batches of {BATCH}, {given.rounds} rounds")
    for chosen in ARCHITECTURES:
        compare(chosen, given.frames, given.rounds)


if __name__ == "__main__":
    main()

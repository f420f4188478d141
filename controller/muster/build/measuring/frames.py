"""Frames of an evaluation snapshot: their slices, and how they are perturbed.

A snapshot may say which frames belong together: tensors `slice_<name>`, bool [N], are declared slices. Two slices come
from the frames themselves and need no declaration: `dim-half` and `bright-half`, cut at the median of the frames' mean
brightness (a frame at the median is dim).

Perturbations are made on raw frames, before normalisation, and stay between 0 and the largest value of the snapshot:

| name      | a value v becomes                                                       |
|-----------|--------------------------------------------------------------------------|
| `noise`   | v + uniform noise of up to 10 % of the largest value, PCG64, seed 2,718  |
| `dimmed`  | v / 4; whole numbers are rounded down, as a low-light sensor does        |
| `glare`   | v + 25 % of the largest value                                            |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from muster.artifacts.golden import FRAMES, tensor_of
from muster.artifacts.tensors import Tensor, load_tensors
from muster.kinds.errors import Unusable

Mask = npt.NDArray[np.bool_]

SEED: Final = 2_718
CLEAN: Final = "clean"
SLICE: Final = "slice_"
DESCRIPTIONS: Final[Mapping[str, str]] = {
    "noise": f"uniform noise of up to 10 % of the snapshot's largest value, PCG64, seed {SEED}, clipped",
    "dimmed": "a quarter of the contrast, whole numbers rounded down",
    "glare": "25 % of the snapshot's largest value added, clipped",
}


def slices_of(snapshot: bytes) -> dict[str, Mask]:
    """Which frames belong to each slice, by the slice's name. Empty slices are left out. Raises `Unusable`."""
    tensors, frames = load_tensors(snapshot), tensor_of(snapshot, FRAMES)
    brightness = frames.reshape(len(frames), -1).mean(axis=1, dtype=np.float64)
    dim = brightness <= np.median(brightness)
    found: dict[str, Mask] = {"dim-half": dim, "bright-half": ~dim}
    for tensor, mask in tensors.items():
        if tensor.startswith(SLICE):
            if mask.dtype != np.bool_ or mask.shape != (len(frames),):
                raise Unusable(
                    f"{tensor} has the type {mask.dtype} and the shape {mask.shape}",
                    f"a slice says for each of {len(frames)} frames whether it belongs to it: bool [{len(frames)}]",
                )
            found[tensor.removeprefix(SLICE).replace("_", "-").strip("-")] = mask
    return {name: mask for name, mask in found.items() if name and mask.any()}


def perturbed(frames: Tensor) -> dict[str, Tensor]:
    """The frames under each perturbation, by its name."""
    largest = float(frames.max(initial=0))
    noise = np.random.Generator(np.random.PCG64(SEED)).random(frames.shape) * 2 - 1
    quarter = frames // 4 if frames.dtype.kind in "iu" else frames / 4
    return {
        "noise": _kept(frames + noise * largest / 10, largest),
        "dimmed": quarter,
        "glare": _kept(frames + largest / 4, largest),
    }


def variants(frames: Tensor) -> dict[str, Tensor]:
    """The frames as they are, and under each perturbation, by its name."""
    return {CLEAN: frames, **perturbed(frames)}


def repeated(evaluation: bytes, calibration: bytes) -> tuple[int, int]:
    """How many frames of the evaluation stand in the calibration too, value for value, and how many it has."""
    known = {row.tobytes() for row in _rows(calibration)}
    rows = _rows(evaluation)
    return sum(row.tobytes() in known for row in rows), len(rows)


def _rows(snapshot: bytes) -> Tensor:
    # The same picture in another element type is the same picture.
    frames = tensor_of(snapshot, FRAMES)
    rows = frames.reshape(len(frames), -1).astype(np.float64)
    # Zero is zero: adding one leaves none that is negative, whose bytes are others.
    return np.asarray(rows + 0.0)


def _kept(frames: Tensor, largest: float) -> Tensor:
    return np.asarray(np.clip(frames, 0, largest), dtype=np.float32)

"""How a frame becomes the model's input, and scores become an answer: the same code when building and on a device.

Pure numpy, float32, one division per element: IEEE 754 rounds it alike on every CPU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from muster.artifacts.tensors import Tensor
from muster.kinds.errors import Refused, Unusable
from muster.kinds.ppm import PPM

if TYPE_CHECKING:
    from muster.kinds.release import InferenceInput, Normalization, Thresholds

Float32 = npt.NDArray[np.float32]


def normalize(frames: Tensor, config: InferenceInput) -> Float32:
    """Raw frames [N, ...] as the model's input [N, *config.shape].

    `scale` divides by the divisor; `stretch` divides each frame by its own largest value, and a frame without any
    positive value becomes zeros. Raises `Unusable` if a frame has another number of elements, `Refused` for values
    that are no finite numbers.
    """
    if frames.ndim < 1 or frames.size != len(frames) * math.prod(config.shape) or frames.dtype.kind not in "buif":
        raise Unusable(f"frames of shape {frames.shape} and type {frames.dtype} do not fit the input {config.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        flat = frames.reshape(len(frames), math.prod(config.shape)).astype(np.float32)
        normal = flat / _divisors(flat, config.normalization)
    if not np.isfinite(normal).all():
        raise Refused("a frame holds values that are no finite numbers, or too large ones")
    return normal.astype(np.float32).reshape(len(frames), *config.shape)


def _divisors(flat: Float32, normalization: Normalization) -> Float32:
    """[N, 1]"""
    if normalization.kind == "stretch":
        largest = flat.max(axis=1, keepdims=True, initial=0)
        # Dividing by infinity makes zeros of a frame that has no light in it.
        return np.where(largest > 0, largest, np.float32("inf"))
    divisor = np.float32(normalization.divisor)
    if not divisor > 0:
        raise Unusable(f"the divisor of the normalization is {divisor}", 'write the largest raw value, such as "255"')
    return np.full((len(flat), 1), divisor)


def answer(scores: Tensor) -> tuple[npt.NDArray[np.int64], Float32]:
    """Index and confidence [N] of the best score in each row of scores [N, L]: post-processing `argmax`."""
    if scores.ndim != 2 or not scores.shape[1]:
        raise Unusable(f"scores of shape {scores.shape}, expected [N, labels]")
    best = scores.argmax(axis=1).astype(np.int64)
    return best, np.take_along_axis(scores, best[:, None], axis=1)[:, 0].astype(np.float32)


def confident(confidence: Float32, thresholds: Thresholds) -> npt.NDArray[np.bool_]:
    """Which answers reach the confidence threshold; NaN never does."""
    return np.asarray(confidence, dtype=np.float64) * PPM >= thresholds.confidence

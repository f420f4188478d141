"""The golden snapshot: what an artifact must answer, wherever it runs.

Inputs hold raw `frames`, normalised by the inference config. The expectation holds `scores_ppm` [N, L]: scores as
whole parts per million, computed in float64 so that they are the same on every CPU.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from muster.artifacts.inference import Float32, normalize
from muster.artifacts.tensors import Tensor, dump_tensors, load_tensors
from muster.kinds.errors import Unusable
from muster.kinds.ppm import PPM

if TYPE_CHECKING:
    from muster.kinds.release import InferenceInput

FRAMES = "frames"
LABELS = "labels"
SCORES = "scores_ppm"


def golden_inputs(data: bytes, config: InferenceInput) -> Float32:
    """The model's input for a golden snapshot (or any other with `frames`). Raises `Unusable`."""
    return normalize(tensor_of(data, FRAMES), config)


def tensor_of(data: bytes, name: str) -> Tensor:
    """One tensor of a snapshot. Raises `Unusable` if it is absent."""
    tensors = load_tensors(data)
    if name not in tensors:
        raise Unusable(f"the snapshot has no tensor {name!r}", f"it has {', '.join(tensors) or 'none'}")
    return tensors[name]


def dump_expected(scores: Tensor) -> bytes:
    """The expectation for scores [N, L] in float64."""
    return dump_tensors({SCORES: np.rint(scores * PPM).astype(np.int64)})


def golden_difference(scores: Tensor, expected: bytes, tolerance: Decimal) -> str | None:
    """Why scores [N, L] are not what the expectation says; None if they are.

    They are if every score lies within `tolerance` and the best label of every row is the expected one.
    """
    wanted = tensor_of(expected, SCORES)
    if wanted.dtype != np.int64 or wanted.shape != scores.shape:
        return f"scores of shape {scores.shape}, expected {wanted.shape}"
    if not np.isfinite(scores).all():
        return "scores that are no finite numbers"
    distance = np.abs(scores.astype(np.float64) * PPM - wanted)
    if distance.max(initial=0) > float(tolerance * PPM):
        row = int(distance.max(axis=1).argmax())
        return f"frame {row} is off by {distance[row].max() / PPM:.4f}, tolerance {tolerance}"
    other = np.flatnonzero(scores.argmax(axis=1) != wanted.argmax(axis=1))
    return f"frame {int(other[0])} gets another label than expected" if other.size else None

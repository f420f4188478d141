"""Uniform numbers that depend on seed, stream and device alone.

Every policy beside another one sees the same devices fail, and nothing has to be kept. SplitMix64: G. Steele, D. Lea,
C. Flood, *Fast splittable pseudorandom number generators*, 2014.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Seconds = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_GAMMA = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def uniform(indices: Indices, seed: int, stream: int) -> npt.NDArray[np.float64]:
    """One number in [0, 1) for each device."""
    start = _mix_one((seed << 32) ^ (stream * _GAMMA & _MASK))
    z = indices.astype(np.uint64) * np.uint64(_GAMMA) + np.uint64(start)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix_one(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)

"""The data: 1,797 handwritten digits, cut once into disjoint parts by a seeded permutation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

SPLIT_SEED: Final = 1797
CALIBRATION, EVALUATION, GOLDEN = 128, 280, 16
LOW_LIGHT: Final = 4
"""Cameras of class `cam-lowlight` deliver a quarter of the contrast: each value divided by this, rounded down."""


@dataclass(frozen=True)
class Part:
    """Frames [N, 8, 8], whole numbers 0..16 as the camera delivers them, and labels [N], 0..9."""

    frames: Integers
    labels: Integers

    def __getitem__(self, rows: slice) -> Part:
        return Part(self.frames[rows], self.labels[rows])

    def __len__(self) -> int:
        return len(self.labels)

    def low_light(self) -> Part:
        """What a camera of class `cam-lowlight` sees."""
        return Part(self.frames // LOW_LIGHT, self.labels)


@dataclass(frozen=True)
class Digits:
    """Two thirds to train, one third held out. Calibration is cut from training, the rest from the held-out third."""

    everything: Part
    training: Part
    held_out: Part

    @property
    def snapshots(self) -> dict[str, Part]:
        """The parts that releases and devices refer to, by name."""
        golden = EVALUATION + GOLDEN
        return {
            "calibration": self.training[:CALIBRATION],
            "evaluation": self.held_out[:EVALUATION],
            "golden": self.held_out[EVALUATION:golden],
            "field": self.held_out[golden:],
        }


def load() -> Digits:
    """The digits that scikit-learn carries, cut as every release of this model cuts them."""
    from sklearn.datasets import load_digits

    bundled = load_digits()
    everything = Part(bundled.images.astype(np.int64), bundled.target.astype(np.int64))
    order = np.random.Generator(np.random.PCG64(SPLIT_SEED)).permutation(len(everything))
    shuffled = Part(everything.frames[order], everything.labels[order])
    cut = len(everything) * 2 // 3
    return Digits(everything, shuffled[:cut], shuffled[cut:])

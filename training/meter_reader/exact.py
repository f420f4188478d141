"""Exact learning: fixed integer convolutions, ReLU, max pooling, and an averaged multi-class perceptron.

Everything here is int64 arithmetic: no rounding, hence no CPU in the result. Sizes stay far below 2**63: a feature is
at most 16 * 18, a weight at most steps * feature, and there are fewer than 2**17 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.meter_reader.digits import Integers, Part

SIDE, CLASSES, UNIT = 8, 10, 16
WEIGHT_BITS = 12


@dataclass(frozen=True)
class Hyperparameters:
    """`shifts`: how many of the five one-pixel shifts (none, right, left, down, up) each frame is shown in."""

    filters: int
    epochs: int
    shifts: int
    seed: int

    def declared(self) -> dict[str, str]:
        """As a release's lineage declares them."""
        return {"filters": str(self.filters), "epochs": str(self.epochs), "shifts": str(self.shifts)}


@dataclass(frozen=True)
class Trained:
    """Kernels [F, 3, 3]; weights [10, F*16] and bias [10] for features in units of 1/16; scores are in 2**-exponent."""

    kernels: Integers
    weights: Integers
    bias: Integers
    exponent: int


def train(part: Part, parameters: Hyperparameters) -> Trained:
    """Learn from `part`; the same part and parameters give the same integers everywhere."""
    random = np.random.Generator(np.random.PCG64(parameters.seed))
    kernels = random.integers(-2, 3, (parameters.filters, 3, 3))
    # Kernels that sum to zero answer to edges and not to brightness.
    kernels[:, 1, 1] -= kernels.sum(axis=(1, 2))
    shown = _shifted(part, parameters.shifts)
    inputs = _with_unit(features(shown.frames, kernels))
    order = np.concatenate([random.permutation(len(shown)) for _ in range(parameters.epochs)])
    total = _average(inputs[order], shown.labels[order])
    small = total >> max(0, int(np.abs(total).max()).bit_length() - WEIGHT_BITS)
    exponent = _sharpness(_with_unit(features(part.frames, kernels)) @ small.T)
    return Trained(kernels, small[:, :-1], small[:, -1], exponent)


def classify(trained: Trained, frames: Integers) -> Integers:
    """Labels [N] that the trained integers give to frames [N, 8, 8]."""
    scores = features(frames, trained.kernels) @ trained.weights.T + UNIT * trained.bias
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def features(frames: Integers, kernels: Integers) -> Integers:
    """Convolution with a border of zeros, ReLU, 2x2 maximum: [N, 8, 8] to [N, F * 16]."""
    padded = np.pad(frames, ((0, 0), (1, 1), (1, 1)))
    planes = []
    for kernel in kernels:
        plane = np.zeros_like(frames)
        for row, column in np.ndindex(3, 3):
            plane += kernel[row, column] * padded[:, row : row + SIDE, column : column + SIDE]
        pooled = plane.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).max(axis=(2, 4))
        planes.append(np.maximum(pooled, 0))
    return np.stack(planes, axis=1).reshape(len(frames), -1)


def _average(inputs: Integers, labels: Integers) -> Integers:
    """The sum of the perceptron's weights over all steps: averaging without dividing.

    A weight that changed by d at step s of n adds d * (n - s) to the sum.
    """
    weights = np.zeros((CLASSES, inputs.shape[1]), dtype=np.int64)
    total = np.zeros_like(weights)
    for step, (row, truth) in enumerate(zip(inputs, labels.tolist(), strict=True)):
        found = int((weights @ row).argmax())
        if found != truth:
            weights[truth] += row
            weights[found] -= row
            total[truth] += (len(inputs) - step) * row
            total[found] -= (len(inputs) - step) * row
    return total


def _with_unit(inputs: Integers) -> Integers:
    return np.concatenate([inputs, np.full((len(inputs), 1), UNIT)], axis=1)


def _shifted(part: Part, shifts: int) -> Part:
    padded = np.pad(part.frames, ((0, 0), (1, 1), (1, 1)))
    moves = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))[:shifts]
    frames = [padded[:, 1 + down : 9 + down, 1 + right : 9 + right] for down, right in moves]
    return Part(np.concatenate(frames), np.concatenate([part.labels] * len(moves)))


def _sharpness(scores: Integers) -> int:
    """The power of two that brings the median lead of the best score over the second to between 4 and 8.

    Softmax then answers with a confidence of 95 % or more to half of the frames, and a lead four times smaller
    (a quarter of the contrast, not normalised away) is seen as doubt.
    """
    ordered = np.sort(scores, axis=1)
    leads = np.sort(ordered[:, -1] - ordered[:, -2])
    # 2**k <= median lead < 2**(k+1), in units of 1/UNIT; that is to become 4.
    power = int(leads[len(leads) // 2]).bit_length() - 1
    return power - (UNIT.bit_length() - 1) - 2

"""`prune: magnitude`: in each weight tensor the smallest weights become zero, so many that the share is reached.

Nothing is added up: magnitudes are compared as they are, and of equal ones the first in memory goes first.
"""

from __future__ import annotations

import numpy as np
import onnx

from muster.build.recipes.graphs import Weights, layers

MILLION = 1_000_000


def prune_weights(model: onnx.ModelProto, share: int) -> onnx.ModelProto:
    """A copy of the model; `share` in parts per million, rounded down to whole weights."""
    pruned = onnx.ModelProto()
    pruned.CopyFrom(model)
    weights = Weights(pruned)
    for name in dict.fromkeys(node.input[1] for node in layers(pruned)):
        values = weights.get(name)
        smallest = np.argsort(np.abs(values), axis=None, kind="stable")[: values.size * share // MILLION]
        values.reshape(-1)[smallest] = 0.0
        weights.put(name, values)
    return pruned

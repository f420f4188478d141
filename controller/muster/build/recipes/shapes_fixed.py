"""`fixShapes`: frames come one at a time, and every shape in the model is a number, as compilers for NPUs want it."""

from __future__ import annotations

import onnx


def fix_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model whose input and output have the size 1 on the first axis."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    # They were inferred with a free axis.
    del fixed.graph.value_info[:]
    return fixed

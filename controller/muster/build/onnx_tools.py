"""Conversions that ONNX Runtime's own tools make: dynamic quantization and float16. Neither runs a kernel.

Both compute weight by weight in numpy; what they write is compared across CPUs by tests/build/recipes.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

# First: it keeps the library from sending telemetry.
from muster.build import onnx_runtime
from muster.build.complaints import first_line
from muster.build.onnx_model import dump_model, parse_model
from muster.build.recipes.graphs import Weights
from muster.kinds.errors import Refused

if TYPE_CHECKING:
    from muster.kinds.recipe import DynamicStage

LARGEST_HALF = float(np.finfo(np.float16).max)


def quantize_dynamic(model: bytes, stage: DynamicStage) -> bytes:
    """int8 weights, and DynamicQuantizeLinear before every layer. Raises `Refused`."""
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization import quantize_dynamic as write

    # The library writes beside its input under fixed names: a private folder per call.
    with tempfile.TemporaryDirectory(prefix="muster-quantize-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(model)
        try:
            write(
                folder / "model.onnx",
                folder / "quantized.onnx",
                op_types_to_quantize=sorted(stage.operators),
                per_channel=stage.per_channel,
                reduce_range=stage.reduce_range,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # whatever a model provokes in there
            raise Refused(
                f"quantize_dynamic of onnxruntime {onnx_runtime.VERSION} does not take the model: {first_line(error)}",
                "leave the operator it names out of the recipe's quantize.operators, or export the model without it",
            ) from error
        written = (folder / "quantized.onnx").read_bytes()
    if not any(node.op_type == "DynamicQuantizeLinear" for node in parse_model(written).graph.node):
        raise Refused(
            f"the model has no weights in {', '.join(stage.operators)}", "name the operators of the model's layers"
        )
    return written


def to_float16(model: bytes) -> bytes:
    """Weights and arithmetic in float16, input and output as they were. Raises `Refused` for weights beyond it."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    parsed = parse_model(model)
    weights = Weights(parsed)
    for tensor in parsed.graph.initializer:
        if weights.holds(tensor.name) and np.abs(weights.get(tensor.name)).max(initial=0.0) > LARGEST_HALF:
            raise Refused(
                f"weights {tensor.name} leave the range of float16, which ends at {LARGEST_HALF:g}",
                'write "format: weights" or "format: float32"',
            )
    try:
        with warnings.catch_warnings():
            # Numbers too small for float16 become its smallest; each would be announced.
            warnings.simplefilter("ignore")
            converted = convert_float_to_float16(parsed, keep_io_types=True)
    except Exception as error:  # whatever a model provokes in there
        raise Refused(
            f"the model does not convert to float16: {first_line(error)}",
            'write "format: weights" or "format: float32"',
        ) from error
    finally:
        logging.getLogger("onnxruntime.transformers.float16").setLevel(logging.WARNING)
    _sort(converted)
    return dump_model(converted)


def _sort(model: onnx.ModelProto) -> None:
    """Nodes in topological order, else in the order they had: the converter puts its casts at the end."""
    made = {name for node in model.graph.node for name in node.output}
    waiting = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    ordered: list[onnx.NodeProto] = []
    while waiting:
        later = []
        for node in waiting:
            if any(name in made for name in node.input):
                later.append(node)
            else:
                ordered.append(node)
                made.difference_update(node.output)
        if len(later) == len(waiting):
            raise Refused("the model's nodes form a circle", "export it again")
        waiting = later
    del model.graph.node[:]
    model.graph.node.extend(ordered)

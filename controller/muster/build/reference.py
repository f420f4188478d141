"""Models in float64 on ONNX's reference evaluator: the same numbers on every CPU, but for the last bits.

float32 kernels sum in an order that depends on the CPU. In float64 what differs is of the order 1e-15, far below the
digits that are kept of it (24 bits of a range, one millionth of a score).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from muster.artifacts.inference import Float32
from muster.build.complaints import first_line
from muster.build.onnx_model import frames_at_once, parse_model
from muster.build.reference_operators import OPERATORS
from muster.kinds.errors import Refused

Float64 = npt.NDArray[np.float64]

_NARROW = (TensorProto.FLOAT, TensorProto.FLOAT16)


class Reference:
    """One model, ready to be evaluated."""

    def __init__(self, model: bytes) -> None:
        double = parse_model(model)
        self._input = double.graph.input[0].name
        self._at_once = frames_at_once(double)
        self._output = double.graph.output[0].name
        self._constant = {tensor.name for tensor in double.graph.initializer}
        try:
            _widen(double)
            self._evaluator = ReferenceEvaluator(double, new_ops=list(OPERATORS))
        except Exception as error:  # whatever a model provokes in there
            raise Refused(
                f"ONNX's reference evaluator does not take the model: {first_line(error)}",
                "export it with operators that onnx.reference.ReferenceEvaluator knows: calibration needs it",
            ) from error

    def scores(self, inputs: Float32) -> Float64:
        """The output [N, labels] for `inputs` [N, ...], in batches of the size that the model fixes.

        Raises `Refused`.
        """
        step = self._at_once or max(1, len(inputs))
        parts = [self._run(inputs[start : start + step])[self._output] for start in range(0, len(inputs), step)]
        return np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])

    def values(self, inputs: Float32) -> dict[str, Float64]:
        """Every floating-point tensor of the graph but the constants, by name. Raises `Refused`."""
        return {
            name: value
            for name, value in self._run(inputs).items()
            if name and name not in self._constant and getattr(value, "dtype", None) == np.float64 and value.size
        }

    def _run(self, inputs: Float32) -> dict[str, Any]:
        try:
            # Whoever asks looks at the values: what is not finite is refused there.
            with np.errstate(all="ignore"):
                values = self._evaluator.run(None, {self._input: inputs.astype(np.float64)}, intermediate=True)
        except Exception as error:  # whatever a model provokes in there
            raise Refused(
                f"ONNX's reference evaluator does not run the model: {first_line(error)}",
                "compare the shape of the snapshot's frames with the input of the inference config and of the model",
            ) from error
        return dict(values)


def _widen(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        _widen_tensor(tensor)
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                _widen_tensor(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _NARROW:
                attribute.i = TensorProto.DOUBLE
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type in _NARROW:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    del model.graph.value_info[:]


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _NARROW:
        double = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(double, tensor.name))

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
from onnx.reference.op_run import OpRun

from muster.artifacts.inference import Float32
from muster.artifacts.tensors import Tensor
from muster.build.complaints import first_line
from muster.build.onnx_model import parse_model
from muster.kinds.errors import Refused

Float64 = npt.NDArray[np.float64]


class Reference:
    """One model, ready to be evaluated."""

    def __init__(self, model: bytes) -> None:
        double = parse_model(model)
        self._input = double.graph.input[0].name
        self._output = double.graph.output[0].name
        self._constant = {tensor.name for tensor in double.graph.initializer}
        try:
            _widen(double)
            self._evaluator = ReferenceEvaluator(double, new_ops=[DequantizeLinear, QuantizeLinear])
        except Exception as error:  # whatever a model provokes in there
            raise Refused(
                f"ONNX's reference evaluator does not take the model: {first_line(error)}",
                "export it with operators that onnx.reference.ReferenceEvaluator knows: calibration needs it",
            ) from error

    def scores(self, inputs: Float32) -> Float64:
        """The output [N, labels] for `inputs` [N, ...]. Raises `Refused`."""
        return np.asarray(self._run(inputs)[self._output], dtype=np.float64)

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
    for index, tensor in enumerate(model.graph.initializer):
        if tensor.data_type == TensorProto.FLOAT:
            double = numpy_helper.to_array(tensor).astype(np.float64)
            model.graph.initializer[index].CopyFrom(numpy_helper.from_array(double, tensor.name))
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    del model.graph.value_info[:]


def _along(axis: int, values: Tensor, parameter: Tensor) -> Tensor:
    """Shape a parameter per tensor or per channel so that it meets `values` on its axis."""
    if parameter.size == 1:
        return parameter.reshape(())
    shape = [1] * values.ndim
    shape[axis] = -1
    return parameter.reshape(shape)


class DequantizeLinear(OpRun):
    """The evaluator's own starts at opset 19, and rounds to float32."""

    op_domain = ""

    def _run(
        self, values: Tensor, scale: Tensor, zero: Tensor | None = None, axis: int | None = None, **_: Any
    ) -> tuple[Tensor]:
        axis = 1 if axis is None else axis
        whole = values.astype(np.int64)
        if zero is not None:
            whole = whole - _along(axis, values, zero.astype(np.int64))
        return (whole * _along(axis, values, scale),)


class QuantizeLinear(OpRun):
    """Round half to even, as the operator's specification says, in float64."""

    op_domain = ""

    def _run(
        self, values: Tensor, scale: Tensor, zero: Tensor | None = None, axis: int | None = None, **_: Any
    ) -> tuple[Tensor]:
        axis = 1 if axis is None else axis
        limits = np.iinfo(np.uint8 if zero is None else zero.dtype)
        steps = np.rint(values / _along(axis, values, scale))
        if zero is not None:
            steps = steps + _along(axis, values, zero.astype(np.int64))
        return (np.clip(steps, limits.min, limits.max).astype(limits.dtype),)

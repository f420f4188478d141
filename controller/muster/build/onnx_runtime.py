"""The one place of this package that imports onnxruntime: its Linux wheels send telemetry unless told not to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from muster.artifacts.inference import Float32
from muster.build.calibration_table import CalibrationTable
from muster.build.complaints import first_line
from muster.build.onnx_safety.safe_model import SafeModel
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.kinds.recipe import QuantizeStage

# Before the import: the library reads it once, when it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

BATCH = 64


VERSION: str = onnxruntime.__version__
CPU: Final = "CPUExecutionProvider"


class Session:
    """A model in ONNX Runtime, on the CPU by default: one thread, sequential, as the golden run of a device does it.

    With `trace`, what every node does is written to a file that begins so: see `end_trace`.
    """

    def __init__(self, model: SafeModel, provider: str = CPU, trace: Path | None = None) -> None:
        if provider not in onnxruntime.get_available_providers():
            raise Unusable(
                f"this machine has no {provider}",
                f"it has {', '.join(onnxruntime.get_available_providers())}; measure on a device that has it",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Fatal only: complaints become `Refused`, and must not reach the terminal twice.
        options.log_severity_level = 4
        if trace is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(trace)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=[provider])
        except Exception as error:  # its exceptions share no base class
            raise Refused(
                f"ONNX Runtime does not load the model: {first_line(error)}",
                f"export it with operators and an opset that onnxruntime {VERSION} runs on {provider}",
            ) from error

    @property
    def provider(self) -> str:
        """The provider that comes first; it may have left nodes to the CPU."""
        return str(self._session.get_providers()[0])

    def end_trace(self) -> Path:
        """The file with the trace: JSON, one event per node and run."""
        return Path(self._session.end_profiling())

    def run(self, name: str, inputs: Float32) -> Float32:
        """Output 0 for `inputs` [N, ...] under the input's name, in batches: of the model's size, if it fixes one.

        Raises `Refused`.
        """
        fixed = self._session.get_inputs()[0].shape[:1]
        size = fixed[0] if fixed and isinstance(fixed[0], int) and fixed[0] > 0 else BATCH
        try:
            parts = [
                self._session.run(None, {name: inputs[start : start + size]})[0]
                for start in range(0, len(inputs), size)
            ]
        except Exception as error:  # its exceptions share no base class
            raise Refused(
                f"ONNX Runtime does not run the model: {first_line(error)}",
                "compare the shape of the snapshot's frames with the input of the inference config and of the model",
            ) from error
        return np.concatenate(parts)


def quantize(model: bytes, table: CalibrationTable, stage: QuantizeStage) -> bytes:
    """Static QDQ quantization of `model` from the ranges of `table`, as the runtime writes it. Raises `Refused`."""
    # Loaded here: a process whose memory is measured loads the runtime and not its tools.
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, quantize_static
    from onnxruntime.quantization.calibrate import save_tensors_data

    # The library writes beside its input under fixed names: a private folder per call.
    with tempfile.TemporaryDirectory(prefix="muster-quantize-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(model)
        save_tensors_data(_ranges(table), folder / "ranges.json")
        try:
            quantize_static(
                folder / "model.onnx",
                folder / "quantized.onnx",
                calibration_data_reader=None,
                quant_format=QuantFormat[stage.format],
                op_types_to_quantize=sorted(stage.operators),
                per_channel=stage.per_channel,
                reduce_range=stage.reduce_range,
                activation_type=_type_of(stage.activations),
                weight_type=_type_of(stage.weights),
                calibrate_method=CalibrationMethod.MinMax,
                calibration_cache_path=folder / "ranges.json",
            )
        except Exception as error:  # whatever a model provokes in there
            raise Refused(
                f"quantize_static does not take the model: {first_line(error)}",
                "leave the operator it names out of the recipe's quantize.operators, or export the model without it",
            ) from error
        return (folder / "quantized.onnx").read_bytes()


def _ranges(table: CalibrationTable) -> Any:
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    data = {
        name: TensorData(lowest=np.array([lowest], np.float32), highest=np.array([highest], np.float32))
        for name, (lowest, highest) in sorted(table.ranges.items())
    }
    return TensorsData(CalibrationMethod.MinMax, data)


def _type_of(name: str) -> Any:
    from onnxruntime.quantization import QuantType

    return {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}[name]

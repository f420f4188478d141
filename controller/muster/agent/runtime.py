"""The one place of the agent that imports onnxruntime, which sends telemetry to its maker unless told not to.

No provider stands in for another: a release that was judged on one is not run on a slower one in silence.
"""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from muster.agent.setbacks import StepFailed
from muster.artifacts.inference import Float32
from muster.kinds.release import Inference

# Read when the library is loaded, not when it is used.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_IMPORT = threading.Lock()
_ONLY_FATAL = 4
_NO_MEMORY = ("std::bad_alloc", "Failed to allocate memory", "bad allocation")
"""How the library says that memory did not suffice."""


class Session(Protocol):
    """A model that is loaded."""

    @property
    def delegate(self) -> str:
        """The provider that computes."""

    def run(self, inputs: Float32) -> Float32:
        """Scores [N, L] of inputs [N, ...]. Raises `StepFailed` (inference_failed)."""


class Runtime(Protocol):
    """What loads models."""

    @property
    def version(self) -> str:
        """Version of the runtime's library."""

    def load(self, model: bytes, provider: str, config: Inference) -> Session:
        """Open a session on these bytes. Raises `StepFailed` (load_failed, out_of_memory, provider_missing)."""


class OnnxRuntime:
    """Satisfies `Runtime`. One thread for each session: a device has other things to do."""

    @property
    def version(self) -> str:
        """Version of onnxruntime."""
        return str(_library().__version__)

    @property
    def providers(self) -> tuple[str, ...]:
        """What can compute on this device."""
        return tuple(map(str, _library().get_available_providers()))

    def load(self, model: bytes, provider: str, config: Inference) -> Session:
        """Open a session with this provider and no other."""
        library = _library()
        if provider not in library.get_available_providers():
            raise StepFailed("provider_missing", f"this device has no {provider}")
        options = library.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ONLY_FATAL
        if provider != "CPUExecutionProvider":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            session = library.InferenceSession(model, options, providers=[provider])
            inputs = [tensor.name for tensor in session.get_inputs()]
            outputs = [tensor.name for tensor in session.get_outputs()]
        except Exception as error:
            # The library raises its own classes, which share no base but this.
            _refuse_if_memory_is_short(error)
            raise StepFailed("load_failed", f"the model does not load: {_first_line(error)}") from error
        if inputs != [config.input.name] or config.output.name not in outputs:
            raise StepFailed("load_failed", "the model's inputs and outputs are not those of the inference config")
        if session.get_providers()[0] != provider:
            raise StepFailed("provider_missing", f"the model runs on {session.get_providers()[0]}, not on {provider}")
        return _OnnxSession(session, config)

    def trace(self, model: bytes, provider: str, name: str, inputs: Float32) -> bytes:
        """What each node did for `inputs`, as the library writes it. Nodes may fall back to the CPU: that is asked.

        Raises `StepFailed` (load_failed).
        """
        library = _library()
        options = library.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _ONLY_FATAL
        options.enable_profiling = True
        with tempfile.TemporaryDirectory(prefix="muster-trace-") as folder:
            options.profile_file_prefix = f"{folder}/trace"
            try:
                session = library.InferenceSession(model, options, providers=[provider])
                session.run(None, {name: inputs})
            except Exception as error:
                raise StepFailed("load_failed", f"the model does not run: {_first_line(error)}") from error
            return Path(session.end_profiling()).read_bytes()


class _OnnxSession:
    def __init__(self, session: Any, config: Inference) -> None:
        self._session = session
        self._input = config.input.name
        self._output = config.output.name
        self._labels = len(config.output.labels)
        first = session.get_inputs()[0].shape[:1]
        self._at_once = first[0] if first and isinstance(first[0], int) and first[0] > 0 else None

    @property
    def delegate(self) -> str:
        return str(self._session.get_providers()[0])

    def run(self, inputs: Float32) -> Float32:
        try:
            scores = self._scores(inputs)
        except Exception as error:
            _refuse_if_memory_is_short(error)
            raise StepFailed("inference_failed", f"the model does not answer: {_first_line(error)}") from error
        if scores.dtype != np.float32 or scores.shape != (len(inputs), self._labels):
            raise StepFailed("inference_failed", f"the model answers {scores.dtype} of shape {scores.shape}")
        found: Float32 = scores
        return found

    def _scores(self, inputs: Float32) -> Any:
        """A model with fixed shapes takes so many frames at once and no other number."""
        size = self._at_once or max(1, len(inputs))
        starts = range(0, max(1, len(inputs)), size)
        parts = [self._session.run([self._output], {self._input: inputs[start : start + size]})[0] for start in starts]
        return np.concatenate([np.asarray(part) for part in parts])


def _refuse_if_memory_is_short(error: Exception) -> None:
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in _NO_MEMORY):
        raise StepFailed("out_of_memory", "the model needs more memory than there is") from error


def _library() -> Any:
    with _IMPORT:
        import onnxruntime

        return onnxruntime


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]

"""A runtime without onnxruntime: it satisfies the agent's `Runtime`, and computes the brightness models in numpy.

It loads in microseconds, so that a device can be started thousands of times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from agent_simulator import Built, answers, build

from muster.agent.setbacks import StepFailed
from muster.artifacts.inference import Float32
from muster.kinds.release import Inference

_MARK = b"simulated model of sharpness "


@cache
def simulated(version: str, sharpness: float) -> Built:
    """A release whose model only `SimulatedRuntime` can load."""
    return build(version, model=_MARK + str(sharpness).encode(), sharpness=sharpness)


def _nothing() -> None:
    return


@dataclass
class SimulatedRuntime:
    """`before_run` is called before every inference, `before_load` before every load."""

    version: str = "1.31.1"
    before_load: Callable[[], None] = _nothing
    before_run: Callable[[], None] = _nothing

    def load(self, model: bytes, provider: str, _config: Inference) -> SimulatedSession:
        self.before_load()
        if not model.startswith(_MARK):
            raise StepFailed("load_failed", "this is no simulated model")
        return SimulatedSession(provider, float(model.removeprefix(_MARK)), self)


@dataclass
class SimulatedSession:
    delegate: str
    sharpness: float
    runtime: SimulatedRuntime

    def run(self, inputs: Float32) -> Float32:
        self.runtime.before_run()
        return answers(np.asarray(inputs) * 16, self.sharpness).astype(np.float32)

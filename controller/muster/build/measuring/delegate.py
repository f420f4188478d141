"""Which provider computes, node by node? A runtime leaves what a provider cannot run to the CPU, in silence."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from muster.artifacts.inference import normalize
from muster.artifacts.tensors import Tensor
from muster.artifacts.traces import nodes_of_trace
from muster.build.measuring.numbers import exact
from muster.build.measuring.speed import Place
from muster.build.measuring.subject import Candidate
from muster.build.onnx_runtime import Session
from muster.kinds.errors import Refused
from muster.kinds.evidence import MOST_NODES, Covered, Result


def coverage_of(candidate: Candidate, provider: str, frames: Tensor) -> tuple[Covered, ...]:
    """Which provider ran each node for the first frame. Raises `Refused`, `Unusable`."""
    config = candidate.inference
    with tempfile.TemporaryDirectory(prefix="muster-trace-") as folder:
        session = Session(candidate.model, provider, Path(folder) / "trace")
        session.run(config.input.name, normalize(frames[:1], config.input))
        return nodes_of_trace(session.end_trace().read_bytes())


def delegate_result(coverage: Sequence[Covered], place: Place) -> Result:
    """The share of the graph's nodes, as the runtime optimised it, that the declared provider ran."""
    if not coverage:
        raise Refused("the runtime traced no node", "see that this version of onnxruntime writes its traces")
    active = sum(node.provider == place.providers["artifact"] for node in coverage)
    return Result(
        metric="delegate-active",
        value=exact(active / len(coverage)),
        device_class=place.device_class,
        samples=len(coverage),
        successes=active,
    )


def worth_naming(coverage: Sequence[Covered], provider: str) -> tuple[Covered, ...]:
    """As much of it as evidence holds, what fell back first."""
    return tuple(sorted(coverage, key=lambda node: node.provider == provider)[:MOST_NODES])

"""Does the declared provider compute? A runtime leaves nodes that a provider cannot run to the CPU, in silence."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

from muster.artifacts.inference import normalize
from muster.artifacts.tensors import Tensor
from muster.build.measuring.numbers import exact
from muster.build.measuring.speed import Place
from muster.build.measuring.subject import Candidate
from muster.build.onnx_runtime import Session
from muster.kinds.errors import Refused
from muster.kinds.evidence import Result


def delegate_result(artifact: Candidate, place: Place, frames: Tensor) -> Result:
    """The share of the graph's nodes, as the runtime optimised it, that the declared provider ran for one frame."""
    provider = place.providers[artifact.role]
    nodes = nodes_by_provider(artifact, provider, frames)
    total, active = sum(nodes.values()), nodes[provider]
    return Result(
        metric="delegate-active",
        value=exact(active / total) if total else Decimal(0),
        device_class=place.device_class,
        samples=total,
        successes=active,
    )


def nodes_by_provider(candidate: Candidate, provider: str, frames: Tensor) -> Counter[str]:
    """How many nodes each provider ran for the first frame. Raises `Refused`, `Unusable`."""
    config = candidate.inference
    with tempfile.TemporaryDirectory(prefix="muster-trace-") as folder:
        session = Session(candidate.model, provider, Path(folder) / "trace")
        session.run(config.input.name, normalize(frames[:1], config.input))
        events = json.loads(session.end_trace().read_bytes())
    nodes = {
        event["name"]: str(event["args"].get("provider", "unknown")) for event in events if event.get("cat") == "Node"
    }
    if not nodes:
        raise Refused("the runtime traced no node", "see that this version of onnxruntime writes its traces")
    return Counter(nodes.values())

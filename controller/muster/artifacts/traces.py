"""What the runtime traced: which provider ran each node of a graph.

Format: the JSON of ONNX Runtime's profiling, a list of events; those of a node have the category `Node`, a name that
ends in what was timed (`_kernel_time`), and `args` with `op_name` and `provider`.
"""

from __future__ import annotations

import json

from muster.kinds.evidence import Covered

_SUFFIX = "_kernel_time"
_LONGEST = 100


def nodes_of_trace(trace: bytes) -> tuple[Covered, ...]:
    """Every node that ran, once, in the order in which they ran first."""
    found: dict[str, Covered] = {}
    for event in json.loads(trace):
        if event.get("cat") == "Node":
            name, arguments = str(event["name"]).removesuffix(_SUFFIX), event["args"]
            operator, provider = (str(arguments.get(key, "unknown")) for key in ("op_name", "provider"))
            found[name] = Covered(node=_shown(name), operator=_shown(operator), provider=_shown(provider))
    return tuple(found.values())


def _shown(text: str) -> str:
    """A node's name is chosen by whoever made the model."""
    return ascii(text[:_LONGEST])[1:-1][:_LONGEST] or "unnamed"

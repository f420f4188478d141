"""What a check of a model has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RULES: Final = (
    "size",
    "wire",
    "depth",
    "unknown-field",
    "merged-message",
    "text",
    "empty",
    "nodes",
    "initializers",
    "subgraph",
    "function",
    "function-recursion",
    "function-expansion",
    "training",
    "sparse",
    "arity",
    "attributes",
    "attribute-size",
    "element-type",
    "shape",
    "parameters",
    "data-length",
    "external-data",
    "domain",
    "operator",
    "unbounded-operator",
    "opset",
    "ir",
    "runtime",
)
"""Every name that a finding can have."""

_SHOWN = 80


@dataclass(frozen=True)
class SafetyFinding:
    """One thing that speaks against a model. `rule` is one of `RULES`; `place` says where in the model."""

    rule: str
    place: str
    message: str
    hint: str


def shown(name: str) -> str:
    """A name out of a model, as a message may show it: quoted, escaped and not long."""
    return ascii(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")

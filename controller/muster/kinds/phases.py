"""Device phases: one table, from which the diagram in the docs is drawn.

A phase belongs to one device and one release. Success is only ever claimed from `healthy`.
"""

from __future__ import annotations

from typing import Literal

Phase = Literal[
    "eligible",
    "offered",
    "downloaded",
    "verified",
    "loaded",
    "activated",
    "confirmed",
    "healthy",
    "failed",
    "rolled-back",
    "dark",
]

# (phase, event) -> next phase. `recall`: the release was halted or superseded and the device left it.
TRANSITIONS: dict[tuple[Phase, str], Phase] = {
    ("eligible", "sees the offer"): "offered",
    ("offered", "bytes complete"): "downloaded",
    ("offered", "gives up"): "failed",
    ("downloaded", "TUF and signature hold"): "verified",
    ("downloaded", "does not verify"): "failed",
    ("verified", "session opens, golden answers hold"): "loaded",
    ("verified", "does not load, or golden answers differ"): "failed",
    ("loaded", "switches slots"): "activated",
    ("activated", "health window holds"): "confirmed",
    ("activated", "health window fails"): "rolled-back",
    ("activated", "falls silent"): "dark",
    ("dark", "reports again"): "activated",
    ("confirmed", "keeps reporting"): "healthy",
    ("activated", "recall"): "rolled-back",
    ("confirmed", "recall"): "rolled-back",
    ("healthy", "recall"): "rolled-back",
    ("healthy", "falls silent"): "dark",
    ("failed", "named again on purpose"): "offered",
    ("rolled-back", "named again on purpose"): "offered",
}

# Who counts as having tried a release: the denominator of every share.
TRIED: frozenset[Phase] = frozenset({"activated", "confirmed", "healthy", "failed", "rolled-back", "dark"})

ON_TRIAL_OR_BETTER: frozenset[Phase] = frozenset({"activated", "confirmed", "healthy"})


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    direction LR", "    [*] --> eligible"]
    lines += [f"    {_state(a)} --> {_state(b)}: {event}" for (a, event), b in TRANSITIONS.items()]
    return "\n".join(lines) + "\n"


def _state(phase: Phase) -> str:
    return phase.replace("-", "_")

"""Device phases: one table, from which the diagram in the docs is drawn.

A phase belongs to one device and one release. Success is only ever claimed from `healthy`.

A device reports every edge but those from and to `dark`, which the controller concludes from silence. Reports can be
lost, so that a controller may see a phase that is several edges away from the last: it counts the newest.
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

# (phase, event) -> next phase. `recall`: the release was halted or superseded by an older one, and the device left it.
# `comes back`: the device left it for a newer release, or lost its files, and desires it again.
TRANSITIONS: dict[tuple[Phase, str], Phase] = {
    ("eligible", "sees the offer"): "offered",
    ("offered", "bytes complete"): "downloaded",
    ("offered", "kept files still hold"): "verified",
    ("offered", "gives up"): "failed",
    ("downloaded", "TUF and signature hold"): "verified",
    ("downloaded", "does not verify"): "failed",
    ("downloaded", "comes back"): "offered",
    ("verified", "session opens, golden answers hold"): "loaded",
    ("verified", "does not load, or golden answers differ"): "failed",
    ("verified", "comes back"): "offered",
    ("loaded", "switches slots"): "activated",
    ("activated", "health window holds"): "confirmed",
    ("activated", "health window fails"): "rolled-back",
    ("activated", "recall"): "rolled-back",
    ("activated", "comes back"): "offered",
    ("activated", "falls silent"): "dark",
    ("confirmed", "keeps reporting"): "healthy",
    ("confirmed", "recall"): "rolled-back",
    ("confirmed", "comes back"): "offered",
    ("confirmed", "comes back to its kept slot"): "activated",
    ("confirmed", "falls silent"): "dark",
    ("healthy", "a frame gets no answer"): "confirmed",
    ("healthy", "recall"): "rolled-back",
    ("healthy", "comes back"): "offered",
    ("healthy", "comes back to its kept slot"): "activated",
    ("healthy", "falls silent"): "dark",
    ("dark", "reports again"): "activated",
    ("failed", "named again on purpose"): "offered",
    ("rolled-back", "named again"): "offered",
    ("rolled-back", "named again, in its kept slot"): "activated",
    ("rolled-back", "is the only slot left that loads"): "healthy",
}

# Who counts as having tried a release: the denominator of every share.
TRIED: frozenset[Phase] = frozenset({"activated", "confirmed", "healthy", "failed", "rolled-back", "dark"})


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    direction LR", "    [*] --> eligible"]
    lines += [f"    {_state(a)} --> {_state(b)}: {event}" for (a, event), b in TRANSITIONS.items()]
    return "\n".join(lines) + "\n"


def _state(phase: Phase) -> str:
    return phase.replace("-", "_")

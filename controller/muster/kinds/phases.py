"""Device phases: one table, from which the diagram in the docs is drawn.

A phase belongs to one device and one release. Success is only ever claimed from `healthy`.

A device reports every edge but those that the controller concludes from silence: to and from `dark`, and past a time
limit. Reports can be lost, so that a controller may see a phase that is several edges away from the last: it counts
the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

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

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True)
class TimeLimit:
    """How long a device may stay in a phase, in milliseconds, before that counts as a failure of the release.

    `silent`: without a word of it, beyond what silence its own habit explains. `longest`: although it talks; a device
    that is stuck cannot be told from a slow one for ever.
    """

    silent: int
    longest: int

    def after(self, wait: int) -> TimeLimit:
        """The same for a device that may have to wait for `wait` milliseconds first."""
        return TimeLimit(self.silent + wait, self.longest + wait)


# In mid-update: on its way, and nothing shown yet. A download may take days on a slow link; what follows is work of
# the device's own, of minutes, that a night without power may fall into.
TIME_LIMITS: Final[Mapping[Phase, TimeLimit]] = MappingProxyType({
    "offered": TimeLimit(silent=DAY, longest=14 * DAY),
    "downloaded": TimeLimit(silent=6 * HOUR, longest=2 * DAY),
    "verified": TimeLimit(silent=6 * HOUR, longest=2 * DAY),
    "loaded": TimeLimit(silent=6 * HOUR, longest=2 * DAY),
})  # fmt: skip
WAITS: Final[Phase] = "verified"
"""Where a device waits for its maintenance window and its turn: the limit begins behind the longest such wait."""
OVERDUE: Final = "time limit passes"

# (phase, event) -> next phase. `recall`: the release was halted or superseded by an older one, and the device left it.
# `comes back`: the device left it for a newer release, or lost its files, and desires it again.
TRANSITIONS: Final[dict[tuple[Phase, str], Phase]] = {
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
    **{(phase, OVERDUE): "failed" for phase in TIME_LIMITS},
    # Later than the limit, but not never: what a device shows counts more than what was concluded.
    ("failed", "reports after all"): "downloaded",
}

# What the controller concludes; a device reports none of these.
CONCLUDED: Final = frozenset({"falls silent", "reports again", OVERDUE, "reports after all"})

# What runs, and goes dark if it falls silent.
RUNNING: Final[frozenset[Phase]] = frozenset({"activated", "confirmed", "healthy"})

# Who counts as having tried a release: the denominator of every share.
TRIED: frozenset[Phase] = frozenset({"activated", "confirmed", "healthy", "failed", "rolled-back", "dark"})


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    direction LR", "    [*] --> eligible"]
    lines += [f"    {_state(a)} --> {_state(b)}: {event}" for (a, event), b in TRANSITIONS.items()]
    return "\n".join(lines) + "\n"


def _state(phase: Phase) -> str:
    return phase.replace("-", "_")

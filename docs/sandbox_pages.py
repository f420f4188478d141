"""The table of escapes in docs/sandbox.md: the list that the tests try."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests/build/sandbox"))

from escapes import ALL, ESCAPES


def escapes() -> str:
    """One row per escape: about what, whether a report names it, and at which levels it was refused."""
    head = " | ".join(level.word for level in ALL)
    lines = [f"| about | tried | reported as | {head} |", f"|---|---|---|{'---|' * len(ALL)}"]
    for name, escape in sorted(ESCAPES.items(), key=lambda item: item[1].topic):
        held = " | ".join("contained" if level in escape.levels else "not" for level in ALL)
        lines.append(f"| {escape.topic} | {name} | {escape.named[0] if escape.named else ''} | {held} |")
    return "\n".join([*lines, ""])

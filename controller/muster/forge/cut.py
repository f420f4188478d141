"""Cutting texts to what a forge takes, without leaving a block open that would swallow what follows.

Sizes are in bytes of UTF-8: forges count characters, bytes or UTF-16 units, and none of these is more.
"""

from __future__ import annotations

import re
from typing import Final

NOTE: Final = "… cut here: the whole report is in the log of the run"

# What follows a fence of backticks holds none, or it is no fence.
_FENCE = re.compile(r" {0,3}(`{3,}(?!.*`)|~{3,})(.*)")
_DETAILS = re.compile(r"<(/?)details\b", re.IGNORECASE)
_FOR_CLOSING = 4_096


def cut_text(text: str, limit: int) -> str:
    """The text, or as much of its beginning as fits into `limit` bytes, ending in "…"."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode()
    return data[: max(0, limit - len("…".encode()))].decode(errors="ignore") + "…"


def cut_markdown(text: str, limit: int) -> str:
    """The text, or whole lines of its beginning that fit into `limit` bytes, with open fences and folds closed."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode()
    room = limit - _FOR_CLOSING
    if room <= 0:
        return cut_text(NOTE, limit)
    kept: list[str] = []
    used = 0
    for line in data.decode().split("\n"):
        used += len(line.encode()) + 1
        if used > room:
            break
        kept.append(line)
    closing, open_folds = _left_open(kept)
    # A line that opens more than can be closed in the room kept for it is no report of ours.
    ending = [*closing, "", NOTE, *["</details>"] * min(open_folds, 200)]
    return cut_text("\n".join([*kept, *ending]), limit)


def _left_open(lines: list[str]) -> tuple[list[str], int]:
    """The fence that is open at the end, as the line that closes it, and how many folds are open."""
    fence = ""
    folds = 0
    for line in lines:
        found = _FENCE.fullmatch(line)
        if fence:
            if found and found[1].startswith(fence) and not found[2].strip():
                fence = ""
        elif found:
            fence = found[1]
        else:
            for slash in _DETAILS.findall(line):
                folds = max(0, folds - 1) if slash else folds + 1
    return ([fence[:1_024]] if fence else []), folds

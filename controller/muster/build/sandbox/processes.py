"""What a process started, and what those started: counted, measured, ended. Read from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def descendants(root: int) -> list[int]:
    """All processes below `root`, nearest first."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are enough
        if name.isdigit():
            below.setdefault(_parent(name), []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        children = below.get(waiting.pop(0), [])
        found += children
        waiting += children
    return found


def threads(process: int) -> int:
    """How many threads a process has; 0 if it is gone."""
    try:
        return len(os.listdir(f"/proc/{process}/task"))  # noqa: PTH208 - names are enough
    except OSError:
        return 0


def memory(process: int) -> tuple[int, int]:
    """Address space and resident bytes; 0 if it is gone."""
    try:
        size, resident = Path(f"/proc/{process}/statm").read_text().split()[:2]
    except (OSError, ValueError):
        return 0, 0
    return int(size) * _PAGE, int(resident) * _PAGE


def end_all(root: int) -> None:
    """Kill and reap all descendants of this process, which adopts orphans. Stopped first, so that none starts more."""
    while True:
        found = descendants(root)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                with contextlib.suppress(OSError):
                    os.kill(process, number)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _parent(process: str) -> int:
    """0 if the process is gone. Its name, in parentheses, may hold anything."""
    try:
        return int(Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0

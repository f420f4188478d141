"""What a process started, and what those started: counted, measured, ended. Read from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from pathlib import Path


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
    """Address space, and what of it is in memory or swapped out, in bytes; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(errors="replace").splitlines()
    except OSError:
        return 0, 0
    words = (line.split() for line in lines if line.startswith(("VmSize:", "VmRSS:", "VmSwap:")))
    found = {name: int(size) * 1_024 for name, size, _ in words}
    return found.get("VmSize:", 0), found.get("VmRSS:", 0) + found.get("VmSwap:", 0)


def nameless(those: list[int]) -> int:
    """Bytes on disk of files that these hold open and that no folder lists any more."""
    found = {}
    for process in those:
        try:
            names = os.listdir(f"/proc/{process}/fd")  # noqa: PTH208 - names are enough
        except OSError:
            continue
        for name in names:
            with contextlib.suppress(OSError):
                file = os.stat(f"/proc/{process}/fd/{name}")  # noqa: PTH116 - a string as it came
                if stat.S_ISREG(file.st_mode) and file.st_nlink == 0:
                    found[file.st_dev, file.st_ino] = file.st_blocks * 512
    return sum(found.values())


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

"""A step that starts a step: what holds the first holds the second, and its supervisor ends and counts both.

So no second sandbox is made, which the first would not grant; what is left to do is the folder, the circumstances and
a clock of its own.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from muster.build.sandbox.confinement import Attempt, Confinement, Level, Outcome
from muster.kinds.errors import TryAgain

CONFINED: Final = "MUSTER_CONFINED"
"""A variable that a step finds set."""


def is_confined() -> bool:
    """Is this process itself a step? It was told so, and the kernel says so."""
    if CONFINED not in os.environ:
        return False
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return {"NoNewPrivs:\t1", "Seccomp:\t2"} <= set(lines)


def run_within(command: Sequence[str], confinement: Confinement, environment: Mapping[str, str]) -> Outcome:
    """Run a command where this step is held. Raises `TryAgain` if it cannot be started."""
    began, limits = time.monotonic(), confinement.limits
    try:
        process = subprocess.Popen(  # noqa: S603 - the caller's program, arguments are no shell
            list(command),
            cwd=confinement.folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            umask=confinement.umask,
            start_new_session=True,
        )
    except OSError as error:
        raise TryAgain(f"cannot start {command[0]}: {error.strerror}") from error
    late = False
    try:
        stdout, stderr = process.communicate(timeout=limits.wall_seconds)
    except subprocess.TimeoutExpired:
        late = True
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = process.returncode
    return Outcome(
        level=Level.LIMITS,
        code=None if code < 0 or late else code,
        signal=-code if code < 0 else None,
        ended_by="wall-clock" if late else None,
        attempts=(Attempt("wall-clock", f"more than {limits.wall_seconds} s"),) if late else (),
        processor_seconds=used.ru_utime + used.ru_stime,
        wall_seconds=time.monotonic() - began,
        peak_memory=used.ru_maxrss * 1024,
        stdout=stdout[: limits.output],
        stderr=stderr[: limits.output],
    )

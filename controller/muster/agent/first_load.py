"""The first load of an artifact on this device: in a process of its own, before the agent loads it itself.

A model that hangs, eats all memory or ends its process does so there; the agent and what runs in it do not notice.
An artifact that loaded and answered its golden inputs once in this program is not loaded so again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from muster.agent.journal import Slot
from muster.agent.setbacks import Postponed, StepFailed

READY = b"ready\n"
LOADED = b"loaded\n"
"""The child says the one before it loads, and the other when the session stands, before the first inference."""
_START_SECONDS = 120.0
"""For the process to come up: that is not the artifact's doing."""
_OUTPUT_LIMIT = 8_192
_RESERVE = 16 * 2**20
_MEMINFO = Path("/proc/meminfo")


def available_memory(meminfo: Path = _MEMINFO) -> int | None:
    """Bytes that a process may take without others being pushed out; None where the system does not say."""
    found = _memory("MemAvailable", meminfo)
    return None if found is None else max(0, found - _RESERVE)


def total_memory(meminfo: Path = _MEMINFO) -> int | None:
    """Bytes that the device has; None where the system does not say."""
    return _memory("MemTotal", meminfo)


def _memory(what: str, meminfo: Path) -> int | None:
    try:
        found = re.search(rf"^{what}:\s+([0-9]+) kB$", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1_024 if found else None


class FirstLoad:
    """`seconds`: for loading, and again for all golden inputs. `memory`: bytes that the load may take, or None."""

    def __init__(self, seconds: float = 120.0, memory: Callable[[], int | None] = available_memory) -> None:
        self._seconds = seconds
        self._memory = memory
        self._proven: set[str] = set()
        self._one_at_a_time = threading.Lock()

    def __call__(self, place: Path, slot: Slot) -> None:
        """Raises `StepFailed`: load_hung, inference_hung, out_of_memory, load_crashed, and what `load_slot` raises.

        Raises `Postponed` (out_of_memory) if not even the process can be started.
        """
        with self._one_at_a_time:
            if slot.artifact not in self._proven:
                self._load(place, slot)
                self._proven.add(slot.artifact)

    def _load(self, place: Path, slot: Slot) -> None:
        given = json.dumps({"slot": slot.model_dump(mode="json"), "memory": self._memory()}).encode()
        try:
            child = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "muster.agent.first_load_child", str(place)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
            )
        except OSError as error:
            raise Postponed("out_of_memory", f"no process can be started: {error.strerror}") from error
        with child:
            try:
                self._follow(child, given)
            finally:
                child.kill()

    def _follow(self, child: subprocess.Popen[bytes], given: bytes) -> None:
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(given)
            child.stdin.close()
        said = _say(child, b"", READY, _START_SECONDS)
        if said is None:
            raise Postponed("out_of_memory", f"the process of the first load did not start in {_START_SECONDS:g} s")
        if (said := _say(child, said, LOADED, self._seconds)) is None:
            raise StepFailed("load_hung", f"the artifact did not load within {self._seconds:g} s")
        if (said := _say(child, said, None, self._seconds)) is None:
            raise StepFailed("inference_hung", f"the golden inputs were not answered within {self._seconds:g} s")
        _refuse(said, child.wait())


def _say(child: subprocess.Popen[bytes], said: bytes, sign: bytes | None, seconds: float) -> bytes | None:
    """What the child has said until `sign` or its end; None if that did not come in time."""
    assert child.stdout is not None
    deadline = time.monotonic() + seconds
    while sign is None or sign not in said:
        ready, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        piece = os.read(child.stdout.fileno(), _OUTPUT_LIMIT)
        if not piece:
            return said
        said = (said + piece)[-_OUTPUT_LIMIT:]
    return said


def _refuse(said: bytes, status: int) -> None:
    """Raise what the child says, unless all was well."""
    try:
        answer = json.loads(said.rpartition(b"\n")[2])
        code, message = answer["error_code"], answer["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StepFailed("load_crashed", f"the process that loaded the artifact ended with {status}") from None
    if code is not None:
        raise StepFailed(str(code), str(message))

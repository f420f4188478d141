"""Turns: a lock that goes to whoever waits longest.

SQLite has one writer and no queue: who waits asks again now and then, and a thread that writes group after group would
nearly always be there first. A `threading.Lock` is no better: who gives it back and asks again at once mostly has it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """For the threads of one process. Whoever has the turn and asks for it once more waits in vain."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @contextmanager
    def turn(self, patience: float) -> Iterator[None]:
        """Wait for the turn, and have it inside. Raises `TimeoutError` after `patience` seconds."""
        self._take(patience)
        try:
            yield
        finally:
            self._pass_on()

    def _take(self, patience: float) -> None:
        with self._mutex:
            if not self._taken:
                self._taken = True
                return
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        came = False
        try:
            came = gate.acquire(timeout=patience)
        finally:
            if not came:
                self._leave(gate)
        if not came:
            raise TimeoutError

    def _leave(self, gate: threading.Lock) -> None:
        """Wait no more. Who was given the turn meanwhile gives it to the next one."""
        with self._mutex:
            if gate in self._waiting:
                self._waiting.remove(gate)
                return
        self._pass_on()

    def _pass_on(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

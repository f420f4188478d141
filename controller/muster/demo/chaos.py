"""Chaos: the daemon is killed at random moments of every act of the story, and started again."""

from __future__ import annotations

import random
import threading

from muster.demo.processes import Daemon

SHORTEST_LIFE, LONGEST_LIFE = 0.2, 4.0
"""Seconds that the daemon is left alone between two kills."""


class Chaos:
    """Kills spread evenly over the acts; an act is over when its kills were made and survived."""

    def __init__(self, daemon: Daemon, kills: int, acts: int, seed: int) -> None:
        self._daemon = daemon
        self._kills_per_act = [kills * (act + 1) // acts - kills * act // acts for act in range(acts)]
        self._random = random.Random(seed)  # noqa: S311 - picks moments, guards nothing
        self._wanted = 0
        self._made = 0
        self._change = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)
        self._thread.start()

    @property
    def made(self) -> int:
        """Kills so far."""
        return self._made

    def begin_act(self) -> None:
        """Let the kills of the next act happen, from now on."""
        with self._change:
            self._wanted += self._kills_per_act.pop(0)
            self._change.notify()

    def act_is_over(self) -> bool:
        """True if no kill of the act is still to come."""
        return self._made >= self._wanted

    def stop(self) -> None:
        """End; the daemon is left running."""
        with self._change:
            self._stopping = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._change:
            while True:
                self._change.wait_for(lambda: self._stopping or self._made < self._wanted)
                # Woken by `stop` only, so that this waits for the whole of a random life.
                life = self._random.uniform(SHORTEST_LIFE, LONGEST_LIFE)
                if self._change.wait_for(lambda: self._stopping, timeout=life):
                    return
                self._daemon.kill()
                self._daemon.start()
                self._made += 1

"""The log of one rebuild: bounded lines, for the verdict that carries it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from muster.build.stages import StageOutcome
from muster.kinds.evidence import LOG_LINES
from muster.kinds.moment import utc_text
from muster.source.git_program import printable

_LONGEST: Final = 400


class Log:
    """A reporter of builds that keeps what it is told. Of too many lines the last place says how many are left out."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lines: list[str] = []
        self._left_out = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """What was told, oldest first."""
        if not self._left_out:
            return tuple(self._lines)
        return (*self._lines, f"{self._left_out} further lines are left out")

    def say(self, text: str) -> None:
        """One line, with its time."""
        if len(self._lines) == LOG_LINES - 1:
            self._left_out += 1
            return
        self._lines.append(f"{utc_text(self._clock())} {printable(text)}"[:_LONGEST])

    def started(self, stage: str) -> None:
        """Its end is told: that says all."""

    def advanced(self, stage: str, done: int, total: int) -> None:
        """Too much for a log."""

    def finished(self, outcome: StageOutcome) -> None:
        """What the stage put out."""
        self.say(f"{outcome.stage}: {outcome.digest}, {outcome.seconds:.2f} s")

"""A process in which a model runs while it is measured: in the sandbox, as strongly as this machine can hold it.

No level is refused: a device class may be a machine that has none but limits, and has to be measured all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from muster.build.sandbox.confinement import Confinement, Level, Limits, Outcome
from muster.build.sandbox.run import run_confined, strongest

_EMULATED_MEMORY: Final = 2**46
"""An emulator reserves addresses for all that its guest could ask for."""


def run_held(command: Sequence[str], folder: Path, seconds: int, *, emulated: bool = False) -> Outcome:
    """Run a command of ours in `folder`, the only place that it may write to. Raises `Refused`, `TryAgain`."""
    memory = _EMULATED_MEMORY if emulated else Limits().memory
    limits = Limits(memory=memory, processor_seconds=seconds * 2, wall_seconds=seconds)
    return run_confined(command, Confinement(folder, (), limits, strongest(Level.LIMITS)))


def last_words(outcome: Outcome) -> str:
    """The last line of what it complained about, quoted and cut to 300 characters."""
    said = outcome.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
    return f"{said[-1][:300]!a}"

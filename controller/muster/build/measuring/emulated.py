"""Scores on an emulated CPU: the runtime picks its kernels by the instructions that it is told to have.

So an int8 model that saturates on AVX2 without VNNI answers here as it does on such a device. How long that takes says
nothing about a device, and is not kept.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from muster.build.emulation import emulated, emulator
from muster.build.measuring.held import last_words, run_held
from muster.build.measuring.machine import Machine
from muster.build.measuring.scoring import Job, Scores, read_scores, write_jobs
from muster.kinds.errors import Refused, TryAgain, Unusable

_SECONDS: Final = 3_600
_ASK_SECONDS: Final = 120


@dataclass(frozen=True)
class EmulatedCpu:
    """`machine` is what a process sees there, `real` what emulates it, `command` what starts one there."""

    command: tuple[str, ...]
    machine: Machine
    real: Machine

    @classmethod
    def of(cls, cpu: str, real: Machine) -> EmulatedCpu:
        """That model of qemu's. Raises `Unusable` if it cannot be had here, `TryAgain`."""
        command = emulator(cpu)
        ask = [*command, sys.executable, "-m", "muster.build.measuring.instructions"]
        with tempfile.TemporaryDirectory(prefix="muster-emulated-") as name:
            said = _run(ask, Path(name), _ASK_SECONDS)
        machine = emulated(real, cpu)
        return cls(command, replace(machine, flags=frozenset(said.split())), real)

    def score(self, jobs: Mapping[str, Job]) -> Mapping[str, Scores]:
        """A `Score`. Raises `Refused` if a model does not load or run there, `TryAgain`."""
        with tempfile.TemporaryDirectory(prefix="muster-emulated-") as name:
            folder = Path(name)
            write_jobs(folder, jobs)
            command = [*self.command, sys.executable, "-m", "muster.build.measuring.scoring", name]
            try:
                _run(command, folder, _SECONDS)
                return {role: read_scores(folder, role) for role in jobs}
            except (OSError, Unusable) as error:
                raise Refused(f"on {self.machine.cpu}: {error}", "see that the model loads and runs there") from error


def _run(command: Sequence[str], folder: Path, seconds: int) -> str:
    done = run_held(command, folder, seconds, emulated=True)
    if done.ended_by == "wall-clock":
        raise TryAgain(f"the emulated process did not end within {seconds} s", "measure fewer frames")
    if not done.succeeded:
        raise Unusable(f"the emulated process {done.explain()}: {last_words(done)}", "try a CPU that runs this Python")
    return done.stdout.decode(errors="replace")

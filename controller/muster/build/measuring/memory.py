"""Peak RAM of one model in a process of its own: Python, runtime and model, and nothing else of weight."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

from muster.artifacts.inference import normalize
from muster.artifacts.tensors import Tensor, dump_tensors
from muster.build.measuring.held import last_words, run_held
from muster.build.measuring.numbers import quantile_of
from muster.build.measuring.speed import Place, device_result
from muster.build.measuring.subject import Candidate, Subject
from muster.kinds.errors import Refused, TryAgain
from muster.kinds.evidence import Result

RUNS: Final = 50
_SECONDS: Final = 120


def memory_result(subject: Subject, place: Place, frames: Tensor, processes: int) -> Result:
    """The median peak of several processes, artifact and baselines in turns. Raises `Refused`, `TryAgain`."""
    peaks: list[list[int]] = [[] for _ in subject.candidates]
    with tempfile.TemporaryDirectory(prefix="muster-memory-") as name:
        commands = [_command(Path(name), item, place, frames) for item in subject.candidates]
        for _ in range(processes):
            for which, command in enumerate(commands):
                peaks[which].append(_peak(command, Path(name)))
    return peaks_result(subject, place, peaks)


def peaks_result(subject: Subject, place: Place, peaks: Sequence[Sequence[int]]) -> Result:
    """What the peaks of all candidates say, in their order, in bytes, wherever they were seen."""
    return device_result(subject, place, "peak-ram", [quantile_of(one, Fraction(1, 2)) for one in peaks])


def _command(folder: Path, candidate: Candidate, place: Place, frames: Tensor) -> list[str]:
    model, inputs = folder / f"{candidate.role}.onnx", folder / f"{candidate.role}.tensors"
    model.write_bytes(candidate.model)
    inputs.write_bytes(dump_tensors({"inputs": normalize(frames[:RUNS], candidate.inference.input)}))
    arguments = [str(model), str(inputs), candidate.inference.input.name, place.providers[candidate.role]]
    return [sys.executable, "-m", "muster.build.measuring.peak", *arguments]


def _peak(command: Sequence[str], folder: Path) -> int:
    done = run_held(command, folder, _SECONDS)
    if done.ended_by == "wall-clock":
        raise TryAgain("the process whose memory is measured did not end", "see whether the machine is busy")
    text = done.stdout.decode(errors="replace").strip()
    if not done.succeeded or not text.isdigit():
        raise Refused(
            f"the process whose memory is measured {done.explain()}: {last_words(done)}",
            "see that the model loads and runs on this provider",
        )
    return int(text)

"""Scores of models for inputs: in this process, or `python -m muster.build.measuring.scoring FOLDER` in one that
somebody else starts, on whatever CPU that one sees.

The folder holds, by role, `ROLE.onnx`, `ROLE.inputs` (tensors: `inputs` [N, ...]), and for all `jobs.json`
{role: [provider, input]}; `ROLE.scores` (tensors: `scores`) is what it leaves.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from muster.artifacts.inference import Float32
from muster.artifacts.tensors import dump_tensors, load_tensors
from muster.build.onnx_runtime import Session
from muster.build.onnx_safety.safe_model import SafeModel
from muster.build.sandbox.folder import read_left
from muster.kinds.errors import MusterError

JOBS: Final = "jobs.json"
_MAX_SCORES: Final = 2**30


@dataclass(frozen=True)
class Job:
    """A model, the provider that runs it, and normalised inputs [N, ...] for its input of that name."""

    model: SafeModel
    provider: str
    name: str
    inputs: Float32


Score = Callable[[Mapping[str, Job]], Mapping[str, Float32]]
"""Scores by role, as the jobs are. Raises `Refused`, `Unusable`, `TryAgain`."""


class ScoresHere:
    """Scores in this process. A role keeps the session that its first job made."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def __call__(self, jobs: Mapping[str, Job]) -> Mapping[str, Float32]:
        """Raises `Refused`, `Unusable`."""
        for role, job in jobs.items():
            if role not in self._sessions:
                self._sessions[role] = Session(job.model, job.provider)
        return {role: self._sessions[role].run(job.name, job.inputs) for role, job in jobs.items()}


def write_jobs(folder: Path, jobs: Mapping[str, Job]) -> None:
    """Lay the jobs out for the process."""
    for role, job in jobs.items():
        (folder / f"{role}.onnx").write_bytes(job.model)
        (folder / f"{role}.inputs").write_bytes(dump_tensors({"inputs": job.inputs}))
    (folder / JOBS).write_text(json.dumps({role: [job.provider, job.name] for role, job in jobs.items()}))


def read_scores(folder: Path, role: str) -> Float32:
    """What the process left. Raises `OSError`, `Unusable`."""
    left = read_left(folder / f"{role}.scores", _MAX_SCORES)
    return np.asarray(load_tensors(left)["scores"], dtype=np.float32)


def main(folder: Path) -> None:
    """Do the jobs of a folder."""
    for role, (provider, name) in json.loads((folder / JOBS).read_text()).items():
        # Admitted by whoever wrote it there.
        session = Session(SafeModel((folder / f"{role}.onnx").read_bytes()), provider)
        inputs = np.asarray(load_tensors((folder / f"{role}.inputs").read_bytes())["inputs"], dtype=np.float32)
        (folder / f"{role}.scores").write_bytes(dump_tensors({"scores": session.run(name, inputs)}))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except MusterError as error:
        sys.exit(error.message)

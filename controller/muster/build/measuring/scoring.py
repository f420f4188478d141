"""Scores of models for inputs: in this process, or `python -m muster.build.measuring.scoring FOLDER` in one that
somebody else starts, on whatever CPU that one sees.

The folder holds, by role, `ROLE.onnx`, `ROLE.inputs` (tensors: normalised inputs [N, ...] by variant), and for all
`jobs.json` {role: [provider, input]}; `ROLE.scores` (tensors: scores by variant) is what it leaves.
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
    """A model, the provider that runs it, and normalised inputs [N, ...], by variant, for its input of that name.

    `labels` says how many scores there are for each frame.
    """

    model: SafeModel
    provider: str
    name: str
    labels: int
    inputs: Mapping[str, Float32]


Scores = Mapping[str, Float32]
"""[N, L] by variant."""
Score = Callable[[Mapping[str, Job]], Mapping[str, Scores]]
"""Scores by role, as the jobs are. Raises `Refused`, `Unusable`, `TryAgain`."""


def scores_here(jobs: Mapping[str, Job]) -> Mapping[str, Scores]:
    """Scores in this process. Raises `Refused`, `Unusable`."""
    return {role: _scores(Session(job.model, job.provider), job.name, job.inputs) for role, job in jobs.items()}


def _scores(session: Session, name: str, inputs: Mapping[str, Float32]) -> dict[str, Float32]:
    return {variant: session.run(name, rows) for variant, rows in inputs.items()}


def write_jobs(folder: Path, jobs: Mapping[str, Job]) -> None:
    """Lay the jobs out for the process."""
    for role, job in jobs.items():
        (folder / f"{role}.onnx").write_bytes(job.model)
        (folder / f"{role}.inputs").write_bytes(dump_tensors(dict(job.inputs)))
    (folder / JOBS).write_text(json.dumps({role: [job.provider, job.name] for role, job in jobs.items()}))


def read_scores(folder: Path, role: str) -> Scores:
    """What the process left. Raises `OSError`, `Unusable`."""
    return _parsed(read_left(folder / f"{role}.scores", _MAX_SCORES))


def main(folder: Path) -> None:
    """Do the jobs of a folder."""
    for role, (provider, name) in json.loads((folder / JOBS).read_text()).items():
        # Admitted by whoever wrote it there.
        session = Session(SafeModel((folder / f"{role}.onnx").read_bytes()), provider)
        scores = _scores(session, name, _parsed((folder / f"{role}.inputs").read_bytes()))
        (folder / f"{role}.scores").write_bytes(dump_tensors(scores))


def _parsed(data: bytes) -> dict[str, Float32]:
    return {name: np.asarray(rows, dtype=np.float32) for name, rows in load_tensors(data).items()}


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except MusterError as error:
        sys.exit(error.message)

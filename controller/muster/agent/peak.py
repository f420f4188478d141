"""`python -m muster.agent.peak CANDIDATE MODEL INPUTS`: run a model, frame by frame, and print the most memory that
this process ever held, in bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from muster.agent.runtime import OnnxRuntime
from muster.agent.vitals import peak_ram_mb
from muster.artifacts.tensors import load_tensors
from muster.kinds.device_record import Candidate


def main(candidate: str, model: str, inputs: str) -> None:
    """`candidate` is JSON, `inputs` a file of tensors with `inputs` [N, ...], normalised."""
    how = Candidate.model_validate_json(Path(candidate).read_bytes())
    session = OnnxRuntime().load(Path(model).read_bytes(), how.provider, how.inference)
    rows = np.asarray(load_tensors(Path(inputs).read_bytes())["inputs"], dtype=np.float32)
    for row in range(len(rows)):
        session.run(rows[row : row + 1])
    sys.stdout.write(f"{round(peak_ram_mb() * 2**20)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

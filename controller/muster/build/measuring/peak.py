"""`python -m muster.build.measuring.peak MODEL INPUTS NAME PROVIDER`: run a model, frame by frame, and print the most
memory that this process ever held, in bytes. It imports what a device would have loaded, and little else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from muster.artifacts.tensors import load_tensors
from muster.build.onnx_runtime import Session
from muster.build.onnx_safety.safe_model import SafeModel


def main(model: str, inputs: str, name: str, provider: str) -> None:
    """`inputs` is a file of tensors with `inputs` [N, ...], normalised."""
    # The process that started this one admitted it: the checks would show in what is measured here.
    session = Session(SafeModel(Path(model).read_bytes()), provider)
    rows = np.asarray(load_tensors(Path(inputs).read_bytes())["inputs"], dtype=np.float32)
    for row in range(len(rows)):
        session.run(name, rows[row : row + 1])
    sys.stdout.write(f"{_most_held()}\n")


def _most_held() -> int:
    """Bytes. Not `ru_maxrss`: Linux hands that of the parent on to a program that it starts."""
    found = re.search(r"^VmHWM:\s+([0-9]+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if found is None:
        raise OSError("this kernel does not tell the peak of a process's memory")
    return int(found[1]) * 1_024


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Builds every recipe on every architecture on every CPU that this machine can be, and writes docs/reproducibility.md.

`python docs/reproduce.py` (`make repro`): prints the matrix of artifact digests; exit 1 if some digest differs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "controller"), str(ROOT / "docs")]

from generate import replace  # noqa: E402

PAGE = ROOT / "docs/reproducibility.md"
RUN = str(ROOT / "tests/recipe_matrix.py")
MODELS = ("Nehalem", "SandyBridge", "Haswell", "max")
SECONDS = 3_600
LIBRARIES = ("numpy", "onnx", "onnxruntime", "protobuf")
NO_AARCH64 = (
    "aarch64 is not in the matrix: under qemu-aarch64 7.2 the wheels of onnxruntime 1.28.0, 1.30.0 and 1.31.1 end "
    "with a segmentation fault when they are imported, and older ones do not read calibration tables. Where an aarch64 "
    'Python with a working onnxruntime is at hand: `make repro REPRO="--aarch64 COMMAND"`.'
)

Matrix = dict[str, dict[str, dict[str, str]]]


def commands(aarch64: str | None) -> dict[str, list[str]]:
    """How to run Python on each CPU, by the CPU's name."""
    found = {"native": [sys.executable]}
    emulator = shutil.which("qemu-x86_64")
    if emulator and os.uname().machine == "x86_64":
        found.update({model: [emulator, "-cpu", model, sys.executable] for model in MODELS})
    if aarch64:
        found["aarch64"] = shlex.split(aarch64)
    return found


def run(command: list[str], arguments: list[str]) -> Matrix:
    """The matrix on one CPU. Raises `CalledProcessError`, `TimeoutExpired`."""
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(  # noqa: S603 - our own program
        [*command, RUN, *arguments], check=True, stdout=subprocess.PIPE, text=True, timeout=SECONDS, env=environment
    )
    matrix: Matrix = json.loads(done.stdout)
    return matrix


def cell(found: dict[str, str]) -> str:
    """An artifact's digest, shortened; or why there is none."""
    return f"`{found['artifact'][7:19]}`" if "artifact" in found else f"refused: {found['refused']}"


def rows(matrices: dict[str, Matrix]) -> Iterator[str]:
    """The table: on the first CPU the digest, on the others whether every output is the same."""
    first = next(iter(matrices))
    yield "| architecture | recipe | " + " | ".join(matrices) + " |"
    yield "|---" * (len(matrices) + 2) + "|"
    for architecture, recipes in matrices[first].items():
        for recipe, expected in recipes.items():
            others = [matrix[architecture][recipe] for name, matrix in matrices.items() if name != first]
            same = ["same" if other == expected else f"**{cell(other)}**" for other in others]
            yield f"| {architecture} | {recipe} | " + " | ".join([cell(expected), *same]) + " |"


def measured(matrices: dict[str, Matrix]) -> str:
    """The matrix, and what it was measured with."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    cells = [one for matrix in matrices.values() for recipes in matrix.values() for one in recipes.values()]
    notes = [f"Python {sys.version.split()[0]}, {versions}; {len(cells)} builds. Native: {processor()}."]
    if "aarch64" not in matrices:
        notes.append(NO_AARCH64)
    return "\n".join([*rows(matrices), "", *notes, ""])


def processor() -> str:
    """The CPU of this machine, and which vector instructions it has."""
    text = Path("/proc/cpuinfo").read_text()
    names = dict(line.split(":", 1) for line in map(str.strip, text.split("\n\n")[0].splitlines()) if ":" in line)
    fields = {name.strip(): value.strip() for name, value in names.items()}
    flags = set(fields.get("flags", "").split()) & {"avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni"}
    return f"{fields.get('model name', os.uname().machine)} ({', '.join(sorted(flags))})"


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--aarch64", help="command that runs an aarch64 Python with the builder's packages")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("architectures", nargs="*", help="fewer; the page is then left as it is")
    given = parser.parse_args()
    with ThreadPoolExecutor(given.jobs) as pool:
        waiting = {
            name: pool.submit(run, command, given.architectures) for name, command in commands(given.aarch64).items()
        }
        matrices = {name: future.result() for name, future in waiting.items()}
    table = measured(matrices)
    print(table)
    if not given.architectures:
        PAGE.write_text(replace(PAGE.read_text(), "matrix", table))
    first = next(iter(matrices.values()))
    return int(any(matrix != first for matrix in matrices.values()))


if __name__ == "__main__":
    sys.exit(main())

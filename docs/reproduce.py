"""Builds every recipe on every architecture on every CPU that this machine can be, and writes docs/reproducibility.md.

    python docs/reproduce.py [--aarch64 COMMAND] [--x86 PROGRAM] [--cpus NAME...] [ARCHITECTURE...]

Prints the matrix of artifact digests; exit 1 if some digest differs, 2 if a CPU could not finish. What is built is kept
below .muster/repro/, so that a run that was ended goes on where it was: for other code, versions or emulators nothing
is kept. One process for each CPU, one after the other: an emulated one needs minutes to import anything.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "controller"), str(ROOT / "docs"), str(ROOT / "tests")]

import muster.artifacts.manifest  # noqa: E402, F401 - a build imports it late
from architectures import SMALL  # noqa: E402
from recipe_matrix import RECIPES, Cell  # noqa: E402

FILES = sorted(str(module.__file__) for name, module in sys.modules.items() if name.split(".")[0] == "muster")
"""The code that builds."""

PAGE = ROOT / "docs/reproducibility.md"
RUN = ROOT / "tests/recipe_matrix.py"
KEPT = ROOT / ".muster/repro"
MODELS = ("Nehalem", "SandyBridge", "Haswell", "max")
AARCH64 = ROOT / ".peers/aarch64/python"
LIBRARIES = ("numpy", "onnx", "onnxruntime", "protobuf")
WITHOUT = {
    "aarch64": "needs an aarch64 Python: `make aarch64`",
    **dict.fromkeys(MODELS, "needs an x86-64 machine with qemu-x86_64: `make peers`"),
}
VERSIONS = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"

Found = dict[Cell, dict[str, str]]


@dataclass(frozen=True)
class Processor:
    """How to run Python on a CPU, and with which emulator."""

    name: str
    command: tuple[str, ...]
    emulator: str | None = None

    def says(self) -> str:
        """For the page."""
        return f"{self.name}: {self.emulator}" if self.emulator else f"{self.name}: {processor()}"


def processors(x86: str | None, aarch64: str | None) -> list[Processor]:
    """Every CPU that this machine can be."""
    found = [Processor("native", (sys.executable,))]
    if x86 and os.uname().machine == "x86_64":
        version = first_line([x86, "--version"])
        found += [Processor(model, (x86, "-cpu", model, sys.executable), version) for model in MODELS]
    if aarch64:
        command = tuple(shlex.split(aarch64))
        machine = first_line([*command, "-c", "import platform; print(platform.python_version())"])
        found.append(Processor("aarch64", command, f"{first_line([*command, '--emulator'])}, Python {machine}"))
    return found


def first_line(command: list[str]) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600)  # noqa: S603 - ours
    return done.stdout.splitlines()[0]


def versions(processor: Processor) -> dict[str, str]:
    """Of the libraries that can show in an artifact, as that Python has them."""
    found: dict[str, str] = json.loads(first_line([*processor.command, "-c", VERSIONS, *LIBRARIES]))
    return found


def key(processor: Processor, own: dict[str, str]) -> str:
    """Of everything that decides what a cell holds; of code all but comments and layout."""
    digest = hashlib.sha256(json.dumps([processor.name, processor.emulator, own]).encode())
    for path in (*FILES, RUN, RUN.with_name("architectures.py")):
        digest.update(ast.dump(ast.parse(Path(path).read_bytes())).encode())
    return digest.hexdigest()[:16]


def kept(path: Path) -> Found:
    """Cells of an earlier run; of a line that was cut off, nothing."""
    found: Found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            architecture, recipe, digests = json.loads(line)
        except ValueError:
            continue
        found[architecture, recipe] = digests
    return found


def run(processor: Processor, path: Path, cells: list[Cell]) -> None:
    """Build these cells on that CPU; each is kept as soon as it is there. Raises `CalledProcessError`."""
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as out:
        # Where a line was cut off, the next one begins anew.
        out.write(b"\n")
        out.flush()
        subprocess.run(  # noqa: S603 - our own program
            [*processor.command, str(RUN)], check=True, input=json.dumps(cells).encode(), stdout=out, env=environment
        )


def cell(found: dict[str, str]) -> str:
    """An artifact's digest, shortened; or why there is none."""
    return f"`{found['artifact'][7:19]}`" if "artifact" in found else f"refused: {found['refused']}"


def beside(expected: dict[str, str], found: dict[str, str] | None) -> str:
    """What another CPU put out."""
    if found is None:
        return "not built"
    return "same" if found == expected else f"**{cell(found)}**"


def rows(matrices: dict[str, Found]) -> Iterator[str]:
    """The table: natively the digest, on the others whether every output is the same."""
    yield "| architecture | recipe | " + " | ".join(matrices) + " |"
    yield "|---" * (len(matrices) + 2) + "|"
    for one in [(architecture, recipe) for architecture in SMALL for recipe in RECIPES]:
        expected = matrices["native"].get(one)
        if expected is None:
            continue
        others = [matrix.get(one) for name, matrix in matrices.items() if name != "native"]
        same = [beside(expected, other) for other in others]
        yield f"| {' | '.join([*one, cell(expected), *same])} |"


def measured(matrices: dict[str, Found], notes: list[str]) -> str:
    """The matrix, how much of it there is, and what it was measured with."""
    native = matrices["native"]
    built = sum(len(matrix.keys() & native.keys()) for matrix in matrices.values())
    same = sum(matrix.get(one) == native[one] for matrix in matrices.values() for one in native)
    count = f"{built} cells of {len(SMALL) * len(RECIPES) * (len(MODELS) + 2)} were built; {same} of them are the same."
    return "\n".join([*rows(matrices), "", count, "", *(f"- {note}" for note in notes), ""])


def processor() -> str:
    """The CPU of this machine, and which vector instructions it has."""
    text = Path("/proc/cpuinfo").read_text()
    names = dict(line.split(":", 1) for line in map(str.strip, text.split("\n\n")[0].splitlines()) if ":" in line)
    fields = {name.strip(): value.strip() for name, value in names.items()}
    flags = set(fields.get("flags", "").split()) & {"avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni"}
    name = fields.get("model name", os.uname().machine)
    return f"{name} ({', '.join(sorted(flags))}), Python {sys.version.split()[0]}"


def main() -> int:
    """Build what is missing, CPU by CPU; print; write."""
    from generate import replace

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aarch64", default=str(AARCH64) if AARCH64.exists() else None, metavar="COMMAND")
    parser.add_argument("--x86", default=shutil.which("qemu-x86_64"), metavar="PROGRAM")
    parser.add_argument("--cpus", nargs="*", help="build on these alone, show all")
    parser.add_argument("architectures", nargs="*", help="build these alone, show all")
    given = parser.parse_args()
    wanted = [(architecture, recipe) for architecture in given.architectures or SMALL for recipe in RECIPES]
    found, notes, failed = {}, [], False
    for one in processors(given.x86, given.aarch64):
        own = versions(one)
        path = KEPT / f"{one.name}-{key(one, own)}.jsonl"
        missing = [cell for cell in wanted if cell not in kept(path)]
        if missing and (not given.cpus or one.name in given.cpus):
            try:
                run(one, path, missing)
            except subprocess.CalledProcessError as error:
                print(f"{one.name}: {error}", file=sys.stderr)
                failed = True
        found[one.name] = kept(path)
        notes.append(f"{one.says()}; {', '.join(f'{name} {version}' for name, version in own.items())}")
    notes += [f"{name}: not here; {why}" for name, why in WITHOUT.items() if name not in found]
    table = measured(found, notes)
    print(table)
    PAGE.write_text(replace(PAGE.read_text(), "matrix", table))
    differs = any(matrix[one] != found["native"].get(one) for matrix in found.values() for one in matrix)
    return 1 if differs else 2 * failed


if __name__ == "__main__":
    sys.exit(main())

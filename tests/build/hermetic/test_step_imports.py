"""The stages run on a builder's lock: of the controller's libraries they import none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from muster.build.hermetic.lock import read_lock
from muster.build.hermetic.program import program

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "builders/onnxruntime-1.31.lock").read_bytes()

_ASK = """
import importlib.abc, importlib.metadata, json, sys
allowed, archive = set(sys.argv[1].split()), sys.argv[2]
owners = importlib.metadata.packages_distributions()
plain = lambda name: name.replace("_", "-").replace(".", "-").lower()
class OnlyLocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        top = name.partition(".")[0]
        packages = {plain(owner) for owner in owners.get(top, ())}
        if top != "muster" and packages and not packages & allowed:
            raise ImportError(f"{name} is of {packages}, which the lock does not name")
sys.meta_path.insert(0, OnlyLocked())
sys.path.insert(0, archive)
import muster.build.hermetic.step, muster.build.hermetic.values, muster.build.pipeline, muster.build.onnx_runtime
from onnxruntime.quantization import quantize_static
print(muster.build.pipeline.__file__)
"""


def test_nothing_but_the_lock_is_imported(tmp_path: Path) -> None:
    """Whatever `step` leads to is found among the lock's packages, Python's own and the zip."""
    archive = tmp_path / "program.zip"
    archive.write_bytes(program())
    packages = " ".join(read_lock(LOCK, "lock").packages)
    command = [sys.executable, "-I", "-c", _ASK, packages, str(archive)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout.startswith(str(archive))


def test_the_program_is_the_same_bytes_for_the_same_source() -> None:
    """No times and no order of a folder show in it."""
    first = program()
    program.cache_clear()
    assert first == program()

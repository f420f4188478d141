"""Every recipe on real architectures: rebuilt identically here, from the pinned table, and on other CPUs.

The whole matrix, with more CPUs, is `make repro`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import recipe_matrix
from architectures import SMALL
from muster.artifacts.store import Store
from muster.kinds.errors import Refused
from recipe_matrix import RECIPES, Matrix, built

QEMU = shutil.which("qemu-x86_64")
needs_qemu = pytest.mark.skipif(
    QEMU is None or os.uname().machine != "x86_64", reason="needs an x86-64 machine with qemu-x86_64 (`make peers`)"
)
HELD_ELSEWHERE = ("static, min-max", "static, percentile", "static, entropy", "fused", "weights only", "float16")
KERNELS = {
    "PYTHONHASHSEED": "12345",
    "OPENBLAS_NUM_THREADS": "2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    "TZ": "Pacific/Kiritimati",
}


def _elsewhere(emulator: list[str], architecture: str, **environment: str) -> Matrix:
    done = subprocess.run(
        [*emulator, sys.executable, recipe_matrix.__file__, architecture, "--recipes", *HELD_ELSEWHERE],
        check=False, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("architecture", ["mobilenet", "transformer"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_rebuilds(tmp_path: Path, name: str, architecture: str) -> None:
    """Again from sources in another store, and from the pinned table, every output is the same."""
    chosen = SMALL[architecture]()
    first = built(name, chosen, Store(tmp_path / "first"))
    assert first.outputs == built(name, chosen, Store(tmp_path / "second"), cached=False).outputs
    table = first.outputs.calibration_table
    again = built(name, chosen, Store(tmp_path / "first"), cached=False, pinned_table=table)
    assert first.outputs == again.outputs


@pytest.mark.parametrize("architecture", ["squeezenet", "shufflenet"])
@pytest.mark.parametrize("name", ["static, min-max", "weights only", "float16"])
def test_architectures_of_the_onnx_package_rebuild(tmp_path: Path, name: str, architecture: str) -> None:
    """With weights drawn for them."""
    chosen = SMALL[architecture]()
    first = built(name, chosen, Store(tmp_path / "first"))
    assert first.outputs == built(name, chosen, Store(tmp_path / "second")).outputs
    assert first.artifact.size < len(chosen.model)


def test_what_cannot_be_pruned_is_refused(tmp_path: Path) -> None:
    """ShuffleNet's convolutions are grouped throughout."""
    with pytest.raises(Refused, match="no layer of the model has channels"):
        built("pruned by channels", SMALL["shufflenet"](), Store(tmp_path / "store"))


def test_recipes_differ() -> None:
    """A matrix of equal digests would prove nothing: with normalization to fold each recipe makes another."""
    found = recipe_matrix.matrix(["mobilenet"], RECIPES)["mobilenet"]
    assert len(RECIPES) == len({cell["artifact"] for cell in found.values()})


@pytest.mark.parametrize("architecture", ["mobilenet", "transformer"])
def test_other_kernels_build_the_same(architecture: str) -> None:
    """Another BLAS, numpy without AVX2 and FMA, another hash seed: every output of every recipe is the same."""
    here = recipe_matrix.matrix([architecture], HELD_ELSEWHERE)
    assert here == _elsewhere([], architecture, **KERNELS)


@needs_qemu
@pytest.mark.parametrize("cpu", ["Nehalem", "Haswell"])
def test_another_cpu_builds_the_same(cpu: str) -> None:
    """A transformer, in which float32 calibration does depend on the CPU."""
    here = recipe_matrix.matrix(["transformer"], HELD_ELSEWHERE)
    assert here == _elsewhere([str(QEMU), "-cpu", cpu], "transformer")

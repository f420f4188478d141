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
from recipe_matrix import RECIPES, Cell, built, digests

PAGE = Path(__file__).resolve().parents[3] / "docs/reproducibility.md"
QEMU = shutil.which("qemu-x86_64")
needs_qemu = pytest.mark.skipif(
    QEMU is None or os.uname().machine != "x86_64", reason="needs an x86-64 machine with qemu-x86_64 (`make peers`)"
)
CARRIED = ("bvlc-alexnet", "inception-v1", "resnet50", "shufflenet", "squeezenet", "vgg19")
ELSEWHERE = [
    (architecture, name)
    for architecture in ("mobilenet", "transformer")
    for name in ("static, percentile", "static, entropy", "fused", "weights only")
]
KERNELS = {
    "PYTHONHASHSEED": "12345",
    "OPENBLAS_NUM_THREADS": "2",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    "TZ": "Pacific/Kiritimati",
}


def _elsewhere(emulator: list[str], cells: list[Cell], **environment: str) -> dict[Cell, dict[str, str]]:
    done = subprocess.run(
        [*emulator, sys.executable, recipe_matrix.__file__],
        check=False, capture_output=True, text=True, input=json.dumps(cells), env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {(line[0], line[1]): line[2] for line in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Where `here` was built."""
    return Store(tmp_path_factory.mktemp("matrix"))


@pytest.fixture(scope="module")
def here(store: Store) -> dict[Cell, dict[str, str]]:
    """What this process makes of two architectures."""
    return {
        (architecture, name): digests(name, SMALL[architecture](), store)
        for architecture in ("mobilenet", "transformer")
        for name in RECIPES
    }


@pytest.mark.parametrize("architecture", ["mobilenet", "transformer"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_rebuilds(
    here: dict[Cell, dict[str, str]], store: Store, tmp_path: Path, name: str, architecture: str
) -> None:
    """In another store, calibrated anew (L2) and quantized from the pinned table (L1): every output is the same."""
    table, elsewhere = here[architecture, name]["calibration_table"], Store(tmp_path / "store")
    elsewhere.put(store.get(table))
    again = built(name, SMALL[architecture](), elsewhere, pinned_table=table)
    assert here[architecture, name] == dict(again.outputs.in_order())


def test_the_pinned_table_decides(here: dict[Cell, dict[str, str]], store: Store) -> None:
    """With another table pinned another model comes out: level L1 is no rebuild from the sources."""
    table = here["mobilenet", "static, entropy"]["calibration_table"]
    other = built("static, min-max", SMALL["mobilenet"](), store, pinned_table=table).outputs
    assert here["mobilenet", "static, min-max"]["calibration_table"] == other.calibration_table
    assert here["mobilenet", "static, entropy"]["quantized"] == other.quantized


def test_the_page_shows_what_is_built(here: dict[Cell, dict[str, str]]) -> None:
    """docs/reproducibility.md was written by this code: `make repro` writes it again."""
    lines = [line.split(" | ") for line in PAGE.read_text().splitlines()]
    shown = {(line[0].removeprefix("| "), line[1]): line[2].strip("`") for line in lines if len(line) > 3}
    assert {cell: found["artifact"][7:19] for cell, found in here.items()} == {cell: shown[cell] for cell in here}


@pytest.mark.parametrize("architecture", CARRIED)
def test_architectures_of_the_onnx_package_rebuild(store: Store, tmp_path: Path, architecture: str) -> None:
    """With weights drawn for them. The larger ones, and all recipes: `make repro`."""
    chosen = SMALL[architecture]()
    first = digests("weights only", chosen, store)
    assert first == digests("weights only", SMALL[architecture](), Store(tmp_path / "store"))
    assert "artifact" in first


def test_what_cannot_be_pruned_is_refused(tmp_path: Path) -> None:
    """ShuffleNet's convolutions are grouped throughout."""
    with pytest.raises(Refused, match="no layer of the model has channels"):
        built("pruned by channels", SMALL["shufflenet"](), Store(tmp_path / "store"))


def test_recipes_differ(here: dict[Cell, dict[str, str]]) -> None:
    """A matrix of equal digests would prove nothing: with normalization to fold each recipe makes another."""
    found = {here["mobilenet", name]["artifact"] for name in RECIPES}
    assert len(RECIPES) == len(found)


def test_other_kernels_build_the_same(here: dict[Cell, dict[str, str]]) -> None:
    """Another BLAS, numpy without AVX2 and FMA, another hash seed: every output of every recipe is the same."""
    assert {cell: here[cell] for cell in ELSEWHERE} == _elsewhere([], ELSEWHERE, **KERNELS)


@needs_qemu
@pytest.mark.long
def test_another_cpu_builds_the_same(here: dict[Cell, dict[str, str]]) -> None:
    """A transformer, in which float32 calibration does depend on the CPU. More of them, on more CPUs: `make repro`."""
    cells = [("transformer", "static, min-max")]
    assert {cell: here[cell] for cell in cells} == _elsewhere([str(QEMU), "-cpu", "Haswell"], cells)

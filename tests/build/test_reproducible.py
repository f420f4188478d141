"""The artifact has one sha256: in any folder, locale, time zone, umask, hash seed, thread count, and on any CPU."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from meter_example import ROOT, digests, filled_store, release
from muster.kinds.digest import digest_of

VARIATIONS = {
    "plain": {},
    "seed, locale, zone and threads": {
        "PYTHONHASHSEED": "12345",
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "tr_TR.UTF-8",
        "TZ": "Pacific/Kiritimati",
        "OPENBLAS_NUM_THREADS": "2",
        "OMP_NUM_THREADS": "2",
    },
    "another seed, zone and kernels": {
        "PYTHONHASHSEED": "0",
        "LC_ALL": "C",
        "TZ": "America/St_Johns",
        "OPENBLAS_NUM_THREADS": "1",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    },
}
UMASKS = dict(zip(VARIATIONS, (0o022, 0o077, 0o000), strict=True))

QEMU = shutil.which("qemu-x86_64")
needs_qemu = pytest.mark.skipif(
    QEMU is None or os.uname().machine != "x86_64", reason="needs an x86-64 machine with qemu-x86_64 (`make peers`)"
)
NEHALEM = [str(QEMU), "-cpu", "Nehalem"]


def _fleet(folder: Path) -> Path:
    """A copy of what this repository declares, elsewhere."""
    for name in ("releases", "devices", "builders"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def _verify(folder: Path, state: Path, emulator: list[str], **options: object) -> tuple[int, dict]:
    path = folder / "releases/meter-reader/1.1.0.yaml"
    command = [*emulator, sys.executable, "-m", "muster", "build", str(path), "--verify", "-o", "json"]
    # What is varied is this process; the lock's environment is varied by `muster build --vary`.
    done = subprocess.run(
        [*command, "--environment", "own", "--state", str(state)],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        **options,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("variation", VARIATIONS)
def test_the_environment_does_not_show(tmp_path: Path, variation: str) -> None:
    """From sources alone, in a folder of another name, the pinned artifact comes out, and its modes are fixed."""
    folder = _fleet(tmp_path / variation)
    store = filled_store(tmp_path / "state" / "store")
    known = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "OPENBLAS_"))}
    code, report = _verify(
        folder, tmp_path / "state", [], env={**known, **VARIATIONS[variation]}, umask=UMASKS[variation]
    )
    assert (code, report["firstDifference"]) == (0, None)
    assert report["quantizedFrom"] == "calibrated"
    artifact = store.path(release().spec.artifact.digest)
    assert artifact.stat().st_mode & 0o777 == 0o644


@needs_qemu
@pytest.mark.long
def test_another_cpu_builds_the_same_artifact(tmp_path: Path) -> None:
    """Emulated without AVX and FMA: calibrated there anew, every output is the pinned one."""
    folder = _fleet(tmp_path / "fleet")
    filled_store(tmp_path / "state" / "store")
    code, report = _verify(folder, tmp_path / "state", NEHALEM)
    assert (code, report["firstDifference"]) == (0, None)
    assert report["quantizedFrom"] == "calibrated"


@needs_qemu
@pytest.mark.long
def test_another_cpu_trains_the_same_model(tmp_path: Path) -> None:
    """The source model and every snapshot, bit for bit."""
    command = [*NEHALEM, sys.executable, "-m", "training.meter_reader", "--json", "--version", "1.0.0"]
    done = subprocess.run(
        [*command, "--store", str(tmp_path / "store")], check=True, capture_output=True, text=True, cwd=ROOT
    )
    trained = json.loads(done.stdout)
    assert digests()["models"]["1.0.0"] == trained["models"]["1.0.0"]
    assert digests()["snapshots"] == trained["snapshots"]


def test_the_releases_pin_what_training_prints() -> None:
    """Source models, snapshots and data set of the declared releases are those of this repository's training."""
    found = digests()
    for version, model in found["models"].items():
        spec = release(version).spec
        assert (model["digest"], model["size"]) == (spec.source.digest, spec.source.size)
        assert model["hyperparameters"] == spec.source.lineage.hyperparameters
        assert model["seed"] == spec.source.lineage.seeds[-1]
        assert found["dataset"]["digest"] == spec.source.lineage.dataset
        for name in ("calibration", "evaluation"):
            assert found["snapshots"][name]["digest"] == getattr(spec.snapshots, name)
        assert found["snapshots"]["golden"]["digest"] == spec.snapshots.golden.inputs


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.2.0"])
def test_the_training_commit_holds_the_training_code(version: str) -> None:
    """The commit that lineage names exists, and holds the code and the environment lock that it names."""
    lineage = release(version).spec.source.lineage
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "cat-file", "-e", lineage.training_commit], check=False, capture_output=True).returncode:
        pytest.skip("this clone does not hold the training commit: shallow, or no git repository")
    show = [*git, "show", f"{lineage.training_commit}:requirements.lock"]
    assert lineage.environment == digest_of(subprocess.run(show, check=True, capture_output=True).stdout)
    listed = [*git, "ls-tree", "--name-only", f"{lineage.training_commit}:training/meter_reader"]
    files = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()
    assert {"__main__.py", "digits.py", "exact.py", "network.py"} <= set(files)

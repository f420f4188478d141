"""Releases rebuild bit for bit in the environments of their locks, whatever is installed in the controller."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from meter_example import ROOT, changed, release
from muster.artifacts.store import Store
from muster.build.declarations import read_release
from muster.build.environment import tool_versions
from muster.build.hermetic.installed import site_packages
from muster.build.hermetic.process import Circumstances
from muster.build.hermetic.run import HermeticRun, hermetic_run
from muster.build.verification import Verification, verify_release
from muster.kinds.errors import Refused, Unusable
from muster.kinds.release import Release

BUILT_WITH = {"meter-reader/1.1.0": "1.31.1", "digit-reader/1.0.0": "1.30.0"}


def named(name: str) -> Release:
    """A release of this repository, by model and version."""
    return read_release(ROOT, f"releases/{name}.yaml")


def lock_of(declared: Release) -> bytes:
    return (ROOT / declared.spec.builder.lock).read_bytes()


def run_for(declared: Release, state: Path) -> HermeticRun:
    return hermetic_run(lock_of(declared), declared.spec.builder.lock, state)


def verified(declared: Release, state: Path, run: HermeticRun) -> Verification:
    return verify_release(declared, Store(state / "store"), lock_of(declared), run=run)


@pytest.mark.parametrize("name", sorted(BUILT_WITH))
def test_one_controller_rebuilds_what_two_runtimes_built(name: str, state: Path) -> None:
    """Every output is its pin, and the stages ran with the onnxruntime of the release's own lock."""
    declared = named(name)
    found = verified(declared, state, run_for(declared, state))
    assert found.first_difference is None
    assert found.result.tools["onnxruntime"] == BUILT_WITH[name]
    assert Store(state / "store").has(declared.spec.artifact.digest)


def test_the_two_releases_have_two_locks() -> None:
    """And the controller has the tools of one of them at most."""
    locks = {named(name).spec.builder.digest for name in BUILT_WITH}
    assert len(locks) == len(BUILT_WITH)


def _another_controller(state: Path, other: str) -> dict[str, str]:
    """Variables of a controller that has the onnxruntime of another lock: it comes first where Python looks."""
    lock = next(
        path for path in (state / "builders").iterdir() if (path / "muster.json").is_file() and _has(path, other)
    )
    front = state / f"front-{other}"
    front.mkdir(exist_ok=True)
    packages = site_packages(lock, "3.11")
    for name in ("onnxruntime", f"onnxruntime-{other}.dist-info"):
        if not (front / name).exists():
            (front / name).symlink_to(packages / name)
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**known, "PYTHONPATH": os.pathsep.join([str(front), str(ROOT / "controller")])}


def _has(folder: Path, version: str) -> bool:
    return (site_packages(folder, "3.11") / f"onnxruntime-{version}.dist-info").is_dir()


def test_another_onnxruntime_in_the_controller_changes_nothing(tmp_path: Path, state: Path) -> None:
    """The controller's own is no longer the locked one: its own environment is refused, the lock's gives the pins."""
    other = next(version for version in BUILT_WITH.values() if version != tool_versions()["onnxruntime"])
    for name in ("releases", "devices", "builders"):
        shutil.copytree(ROOT / name, tmp_path / name)
    variables = _another_controller(state, other)
    asked = "import onnxruntime, importlib.metadata as m; print(onnxruntime.__version__, m.version('onnxruntime'))"
    told = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True, env=variables)
    assert told.stdout.split() == [other, other]
    command = [sys.executable, "-m", "muster", "build", "meter-reader/1.1.0", "--verify", "-o", "json"]
    ran = {"capture_output": True, "text": True, "env": variables, "cwd": tmp_path}
    own = subprocess.run([*command, "--state", str(state), "--environment", "own"], check=False, **ran)
    assert (own.returncode, f"onnxruntime {other} (locked: " in own.stderr) == (2, True), own.stderr
    found = subprocess.run([*command, "--state", str(state)], check=False, **ran)
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)
    assert (report["identical"], report["artifact"]["digest"]) == (True, release("1.1.0").spec.artifact.digest)


def test_a_difference_is_found_there_too(state: Path) -> None:
    """A recipe that is not the one that was pinned: the first output that differs is named."""
    declared = release()
    snap = declared.spec.recipe.snap.model_copy(update={"mantissa_bits": 8})
    other = changed(declared, recipe=declared.spec.recipe.model_copy(update={"snap": snap}))
    assert verified(other, state, run_for(declared, state)).first_difference == "calibration_table"


def test_what_is_refused_there_is_refused_here(state: Path) -> None:
    """With message and hint."""
    declared = release()
    other = changed(declared, onnx=declared.spec.onnx.model_copy(update={"opset": 12}))
    with pytest.raises(Refused, match="opset") as caught:
        verified(other, state, run_for(declared, state))
    assert caught.value.hint


def test_a_lock_that_is_not_the_pinned_one(state: Path) -> None:
    """A release is not built in the environment of another lock than its own."""
    declared, other = release("1.1.0"), named("digit-reader/1.0.0")
    with pytest.raises(Unusable, match="pins"):
        verify_release(declared, Store(state / "store"), lock_of(other), run=run_for(other, state))


def test_the_process_is_told_nothing_of_ours(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that would lead Python or the loader elsewhere do not reach it."""
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("LD_PRELOAD", "")
    declared = release()
    assert verified(declared, state, run_for(declared, state)).first_difference is None


def test_a_process_that_takes_too_long_is_ended(state: Path) -> None:
    """It says nothing about the release."""
    declared = release()
    run = replace(run_for(declared, state), circumstances=Circumstances(seconds=0))
    with pytest.raises(Unusable, match="the build's process"):
        verified(declared, state, run)

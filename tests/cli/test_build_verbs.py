"""`muster build` and `muster release new` as a user runs them: exit codes, messages, files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from meter_example import ROOT, filled_store, release
from muster.artifacts.store import Store
from muster.cli import exit_code_of

RELEASE = "releases/meter-reader/1.1.0.yaml"
# Environments of their own: tests/build/hermetic.
VERIFY = ("--verify", "--environment", "own")


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what this repository declares, with a state folder that holds sources and snapshots."""
    for name in ("releases", "devices", "builders", "training/meter_reader/releases"):
        shutil.copytree(ROOT / name, tmp_path / name)
    filled_store(tmp_path / ".muster/store")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MUSTER_STATE", raising=False)
    return tmp_path


def _edit(fleet: Path, old: str, new: str) -> None:
    path = fleet / RELEASE
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("name", [RELEASE, "meter-reader/1.1.0", f"./{RELEASE}"])
def test_a_release_that_rebuilds_exits_0(fleet: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By file or by name; the headline says so."""
    assert exit_code_of(["build", name, *VERIFY]) == 0
    assert "identical to its pins" in capsys.readouterr().out
    assert (fleet / ".muster").is_dir()


def test_a_difference_exits_1_and_is_named(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the first stage that differs, also for programs."""
    _edit(fleet, "mantissaBits: 10", "mantissaBits: 8")
    assert exit_code_of(["build", RELEASE, *VERIFY, "-o", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["firstDifference"] == "calibration_table"
    assert "calibration_table" in report["reason"]


@pytest.mark.parametrize("output", ["text", "markdown", "yaml", "json"])
def test_every_output(fleet: Path, output: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The superseded release, the classes of this fleet and the artifact appear in each."""
    assert exit_code_of(["build", RELEASE, "-o", output]) == 0
    shown = capsys.readouterr()
    for word in ("meter-reader/1.0.0", "cam-lowlight", "sha256:", "multiplyAccumulates"):
        assert word in shown.out
    assert shown.err == "" if output == "json" else "quantize\tsha256:" in shown.err
    assert fleet.is_dir()


def test_a_missing_source_exits_2_with_the_way_to_get_it(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fresh clone has no store yet."""
    shutil.rmtree(fleet / ".muster")
    assert exit_code_of(["build", RELEASE, *VERIFY]) == 2
    assert "hint: put it into the store: `make models`" in capsys.readouterr().err


def _no_lock(fleet: Path) -> None:
    shutil.rmtree(fleet / "builders")


def _other_lock(fleet: Path) -> None:
    path = fleet / "builders/onnxruntime-1.31.lock"
    path.write_text(path.read_text() + "# touched\n")


def _no_release(fleet: Path) -> None:
    (fleet / RELEASE).unlink()


def _linked_release(fleet: Path) -> None:
    (fleet / RELEASE).rename(fleet / "elsewhere.yaml")
    (fleet / RELEASE).symlink_to(fleet / "elsewhere.yaml")


@pytest.mark.parametrize("change", [_no_lock, _other_lock, _no_release, _linked_release])
def test_what_cannot_be_built_exits_2(fleet: Path, change: object, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a traceback."""
    change(fleet)
    assert exit_code_of(["build", RELEASE, *VERIFY]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("method: minmax", "method: minmax\n      calibrateMethod: Entropy", "min-max under another name"),
        ("batch: 32", "batch: 32\n      calibMaxIntermediateOutputs: 3", "throws calibration data away"),
        ("reduceRange: true", "reduceRange: true\n      saveOptimized: true", "holds kernels for the CPU"),
        ("mantissaBits: 10", "mantissaBits: 10.5", f"{RELEASE}:"),
        ("version: 1.1.0", "version: 1.1.7", "declares meter-reader/1.1.7"),
    ],
)
def test_a_wrong_release_file_exits_1_with_the_place(
    fleet: Path, old: str, new: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused options come with their reason."""
    text = (fleet / RELEASE).read_text()
    (fleet / RELEASE).write_text(text.replace(old, new, 1))
    assert exit_code_of(["build", RELEASE]) == 1
    assert where in capsys.readouterr().err


def test_a_name_that_is_no_release_exits_2(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a file in its place, nor a name."""
    for name in ("meter-reader", "nonsense.yaml", "../../etc/passwd"):
        assert exit_code_of(["build", name]) == 2
        assert "error: " in capsys.readouterr().err
    assert fleet.is_dir()


def test_the_releases_of_this_repository_come_out_again(fleet: Path) -> None:
    """The script that made them makes them again, pin for pin; rollouts start at 0 %."""
    shutil.rmtree(fleet / "releases")
    program = f"{Path(sys.executable).parent}/muster"
    subprocess.run(["training/meter_reader/releases/make.sh"], check=True, cwd=fleet, env={"MUSTER": program})
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        path = f"releases/meter-reader/{version}.yaml"
        declared, made = (yaml.safe_load((folder / path).read_text()) for folder in (ROOT, fleet))
        assert made["spec"].pop("rollout")["cohorts"] == {"canary": "0%", "fleet": "0%"}
        declared["spec"].pop("rollout")
        assert declared == made
        assert (fleet / path).read_text().startswith("# yaml-language-server: $schema=../../schemas/release.json\n")


def _new(fleet: Path, *more: str, version: str = "2.0.0") -> int:
    spec = yaml.safe_load((ROOT / RELEASE).read_text())["spec"]
    inputs = fleet / "training/meter_reader/releases"
    arguments = {
        "--source": spec["source"]["digest"],
        "--calibration": spec["snapshots"]["calibration"],
        "--evaluation": spec["snapshots"]["evaluation"],
        "--golden": spec["snapshots"]["golden"]["inputs"],
        "--inference": str(inputs / "inference-stretch.yaml"),
        "--lineage": str(inputs / "lineage-1.1.0.yaml"),
        "--runtime": "cam-day",
        "--tier": "research",
    }
    given = {**arguments, **dict(zip(more[::2], more[1::2], strict=True))}
    return exit_code_of(["release", "new", "meter-reader", version, *(word for pair in given.items() for word in pair)])


def test_a_new_release_verifies(fleet: Path) -> None:
    """From files as well as digests; with the default recipe; and it passes the proof that it names."""
    spec = yaml.safe_load((ROOT / RELEASE).read_text())["spec"]
    store = Store(fleet / ".muster/store")
    (fleet / "model.onnx").write_bytes(store.get(spec["source"]["digest"]))
    (fleet / "golden.tensors").write_bytes(store.get(spec["snapshots"]["golden"]["inputs"]))
    assert _new(fleet, "--source", "model.onnx", "--golden", "golden.tensors", "--supersedes", "1.2.0") == 0
    assert exit_code_of(["build", "meter-reader/2.0.0", *VERIFY]) == 0


def test_pins_are_never_overwritten(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A release file that exists stays as it is."""
    before = (fleet / RELEASE).read_bytes()
    assert _new(fleet, version="1.1.0") == 1
    assert "exists already" in capsys.readouterr().err
    assert before == (fleet / RELEASE).read_bytes()


@pytest.mark.parametrize(
    ("option", "value", "code", "why"),
    [
        ("--runtime", "cam-night", 2, "no such device class: cam-night"),
        ("--source", "sha256:" + "0" * 64, 2, "is not in the store"),
        ("--source", "nothing.onnx", 2, "cannot read nothing.onnx"),
        ("--tolerance", "lots", 2, "not a decimal"),
        ("--lock", "../../etc/passwd", 2, "--lock"),
        ("--supersedes", "newest", 1, "supersedes"),
        ("--inference", "devices/classes/cam-day.yaml", 1, "cam-day.yaml:"),
        ("--recipe", "broken.yaml", 1, "throws calibration data away"),
        ("--source", "text.onnx", 1, "source model"),
        ("--calibration", "text.onnx", 2, "not a snapshot"),
    ],
)
def test_wrong_input_is_refused_and_nothing_is_written(
    fleet: Path, option: str, value: str, code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with its reason."""
    (fleet / "text.onnx").write_text("this is not a model, though it is called one")
    recipe = (fleet / "training/meter_reader/releases/recipe.yaml").read_text()
    (fleet / "broken.yaml").write_text(recipe.replace("batch: 32", "batch: 32\n  CalibMaxIntermediateOutputs: 2"))
    assert code == _new(fleet, option, value)
    assert why in capsys.readouterr().err
    assert not (fleet / "releases/meter-reader/2.0.0.yaml").exists()


def test_a_damaged_input_is_not_a_difference(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One altered byte in the stored source: the release could not be rebuilt, exit 2."""
    path = Store(fleet / ".muster/store").path(release("1.1.0").spec.source.digest)
    path.chmod(0o644)
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert exit_code_of(["build", RELEASE, *VERIFY]) == 2
    assert "damaged" in capsys.readouterr().err

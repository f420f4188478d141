"""The wheel, and what a device needs of it."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTROLLER_ONLY = (
    "granian",
    "onnx",
    "prometheus_client",
    "ruamel",
    "sqlalchemy",
    "starlette",
    "watchdog",
    "yaml",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("passmuster-*.whl"))


def test_the_wheel_holds_the_package_and_its_extras(wheel: Path) -> None:
    """Package, type marker and command are there; tests and training are not; extras are named."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = email.message_from_bytes(
            archive.read(next(name for name in names if name.endswith(".dist-info/METADATA")))
        )
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert {"muster/py.typed", "muster/agent/agent.py", "muster/cli/__init__.py"} <= set(names)
    assert not [name for name in names if name.startswith(("tests", "training", "controller"))]
    assert {"agent", "controller"} <= set(metadata.get_all("Provides-Extra", []))
    assert "muster = muster.cli:main" in entry_points


def test_a_fleet_can_be_made_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """`muster init` of the wheel alone, away from the source tree, writes templates and builder locks byte for byte."""
    locks = sorted(path.relative_to(ROOT) for path in (ROOT / "builders").glob("*.lock"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    for lock in locks:
        assert (tmp_path / "installed" / "muster/source/templates" / lock).read_bytes() == (ROOT / lock).read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "muster", "init", "fleet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert locks
    for lock in locks:
        assert (tmp_path / "fleet" / lock).read_bytes() == (ROOT / lock).read_bytes()
    assert (tmp_path / "fleet" / "policies" / "default.yaml").is_file()
    assert not (tmp_path / "fleet" / "builders" / "onnxruntime-1.31.in").exists()


def test_a_device_needs_nothing_of_the_controller() -> None:
    """With every library that only the controller installs made unimportable, the agent's modules still load."""
    code = f"""
import sys, importlib, pkgutil
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {CONTROLLER_ONLY!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import muster.agent
for module in pkgutil.iter_modules(muster.agent.__path__, "muster.agent."):
    importlib.import_module(module.name)
from muster.cli import exit_code_of
sys.exit(exit_code_of(["agent", "run", "--help"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""What a device installs is enough for everything that a device does, and holds nothing of the controller."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from agent_simulator import MODEL_NAME, Bench, build, hash_of
from device_environment import ROOT, closure, make_environment

USES = """
import importlib, json, pathlib, pkgutil, sys
import numpy as np
import muster.agent
for module in pkgutil.iter_modules(muster.agent.__path__, "muster.agent."):
    importlib.import_module(module.name)
from muster.agent.active import open_model
with open_model(pathlib.Path(sys.argv[1]), sys.argv[2]) as model:
    print(model.infer(np.full(4, 16, np.uint8)).model_hash)
from muster.cli import exit_code_of
for verb in (["status"], ["diagnose", "--offline", "-o", "json", "--bundle", sys.argv[3]]):
    assert exit_code_of(["agent", *verb, "--folder", sys.argv[1]]) in (0, 1), verb
print("\\n" + json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


def test_the_agents_part_is_enough_and_holds_nothing_of_the_controller(bench: Bench, tmp_path: Path) -> None:
    """In a fresh environment with the closure of the extra `agent` alone: every module of the agent loads, a model
    answers, a device is diagnosed with a bundle; and of what only the controller declares, nothing is there.
    """
    built = build("1.0.0")
    bench.start()
    bench.confirm(built)
    python = make_environment(tmp_path / "environment")
    command = [str(python), "-c", USES, str(bench.folder.path), MODEL_NAME, str(tmp_path / "bundle.tar")]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert hash_of(built) == done.stdout.splitlines()[0]
    assert (tmp_path / "bundle.tar").stat().st_size > 0
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"granian", "httpx", "onnx", "ruamel", "scipy", "sigstore", "sqlalchemy", "starlette", "yaml"}
    alone = closure("controller") - closure("agent")
    assert {"granian", "httpx", "onnx", "ruamel-yaml", "scipy", "sigstore", "sqlalchemy", "starlette"} <= alone
    site = next((tmp_path / "environment").glob("lib/python3.*/site-packages"))
    assert not [path.name for path in site.iterdir() if path.name.split("-")[0].replace("_", "-").lower() in alone]


def test_the_agents_part_is_in_the_lock() -> None:
    """Every library that a device installs is pinned by its hashes."""
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    assert closure("agent") <= locked

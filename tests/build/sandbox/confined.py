"""Runs a script in the sandbox, as whoever runs the tests or, if that is root, as nobody; gives back the outcome.

Run as a program it does the same for an order on standard input: that is how it runs as nobody, with the system's
interpreter, because that of the tests may lie where nobody may look.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import muster
from muster.build.sandbox.confinement import Attempt, Level, Limits, Outcome
from muster.build.sandbox.run import CannotHold, run

NOBODY = 65_534
SYSTEM_PYTHON = "/usr/bin/python3"
SMALL = Limits(
    memory=512 * 2**20,
    resident=512 * 2**20,
    processor_seconds=20,
    wall_seconds=30,
    file_size=4 * 2**20,
    folder_size=16 * 2**20,
    folder_entries=2_000,
    processes=12,
    open_files=40,
    output=10_000,
)


def confined(script: str, who: str, level: Level, limits: Limits = SMALL, folder: Path | None = None) -> Outcome:
    """The outcome of a Python script. `who` is `tester` or `nobody`. `folder` is one that `tester` gives."""
    if who == "tester":
        with tempfile.TemporaryDirectory() as scratch:
            return run_script(script, level, limits, folder or Path(scratch))
    order = {"script": script, "level": level.word, "limits": asdict(limits)}
    done = subprocess.run(
        [SYSTEM_PYTHON, "-B", __file__],
        check=False,
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=120,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": str(Path(muster.__path__[0]).parent), "TMPDIR": "/tmp", "SECRET_TOKEN": "hunter2"},
    )
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    if "refused" in told:
        raise CannotHold(told["refused"])
    told["attempts"] = tuple(Attempt(*each) for each in told["attempts"])
    told |= {name: told[name].encode() for name in ("stdout", "stderr")}
    return Outcome(**{**told, "level": Level(told["level"])})


def run_script(script: str, level: Level, limits: Limits, folder: Path) -> Outcome:
    """Run a script with the interpreter that runs this."""
    return run([sys.executable, "-I", "-S", "-c", script], folder=folder, limits=limits, level=level)


def why_not_nobody() -> str | None:
    """Why tests cannot run as nobody here; None if they can."""
    if os.geteuid() != 0:
        return "only root can become nobody"
    seen = subprocess.run(
        [SYSTEM_PYTHON, "-c", "import sys, muster.kinds.errors; sys.exit(sys.version_info < (3, 11))"],
        check=False,
        capture_output=True,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": str(Path(muster.__path__[0]).parent)},
    )
    return None if seen.returncode == 0 else "nobody cannot run the system's Python, or not read this repository"


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as own:
        try:
            outcome = run_script(
                wanted["script"], Level[wanted["level"].upper()], Limits(**wanted["limits"]), Path(own)
            )
            data = asdict(outcome)
            data |= {name: data[name].decode(errors="replace") for name in ("stdout", "stderr")}
            data["attempts"] = [list(each.values()) for each in data["attempts"]]
            sys.stdout.write(json.dumps(data))
        except CannotHold as error:
            sys.stdout.write(json.dumps({"refused": error.message}))

"""Runs scripts in the sandbox, as whoever runs the tests or, if that is root, as nobody; gives back the outcomes.

Run as a program it does the same for orders on standard input: that is how it runs as nobody, with the system's
interpreter, because that of the tests may lie where nobody may look.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import muster
from muster.build.sandbox.confinement import Attempt, Level, Limits, Outcome
from muster.build.sandbox.run import CannotHold, run

NOBODY = 65_534
SYSTEM_PYTHON = "/usr/bin/python3"
_AT_ONCE = 3
"""Some of them only wait."""
_TREES = str(Path(muster.__path__[0]).parent)


@dataclass(frozen=True)
class Script:
    """Python, in which `{controller}` is the process that runs the step, and `{lent}` a file that it may read."""

    text: str
    level: Level
    limits: Limits


def confined(scripts: Sequence[Script], who: str) -> list[Outcome | str]:
    """What became of each; or why it could not be held. `who` is `tester` or `nobody`."""
    if who == "tester":
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(_run, scripts))
    orders = [{"text": one.text, "level": one.level.word, "limits": asdict(one.limits)} for one in scripts]
    done = subprocess.run(
        [SYSTEM_PYTHON, "-B", __file__],
        check=False,
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        timeout=300,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": _TREES, "TMPDIR": "/tmp", "SECRET_TOKEN": "hunter2"},
    )
    assert done.returncode == 0, done.stderr
    return [told if isinstance(told, str) else _outcome(told) for told in json.loads(done.stdout)]


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
        env={"PYTHONPATH": _TREES},
    )
    return None if seen.returncode == 0 else "nobody cannot run the system's Python, or not read this repository"


def _run(script: Script) -> Outcome | str:
    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryDirectory() as given:
        lent = Path(given) / "lent"
        lent.write_text("lent")
        lent.chmod(0o644)
        text = script.text.replace("{controller}", str(os.getpid())).replace("{lent}", str(lent))
        command = [sys.executable, "-I", "-S", "-c", text]
        try:
            outcome = run(command, folder=Path(own), readable=[Path(given)], limits=script.limits, level=script.level)
        except CannotHold as error:
            return error.message
        assert (lent.stat().st_mode & 0o7777, os.listxattr(lent)) == (0o644, [])
        return outcome


def _outcome(told: dict[str, object]) -> Outcome:
    data: dict[str, object] = {**told, "level": Level(told["level"])}
    data["attempts"] = tuple(Attempt(*each) for each in told["attempts"])  # type: ignore[attr-defined]
    data |= {name: str(told[name]).encode() for name in ("stdout", "stderr")}
    return Outcome(**data)  # type: ignore[arg-type]


def _as_data(outcome: Outcome | str) -> dict[str, object] | str:
    if isinstance(outcome, str):
        return outcome
    data = asdict(outcome)
    data |= {name: data[name].decode(errors="replace") for name in ("stdout", "stderr")}
    data["attempts"] = [list(each.values()) for each in data["attempts"]]
    return data


if __name__ == "__main__":
    wanted = [Script(one["text"], Level[one["level"].upper()], Limits(**one["limits"])) for one in json.load(sys.stdin)]
    json.dump([_as_data(outcome) for outcome in confined(wanted, "tester")], sys.stdout)

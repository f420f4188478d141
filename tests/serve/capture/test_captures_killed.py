"""The server is killed before every touch of its folder of samples; devices ask once more; nothing is lost or left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from captured import SAMPLE

KILLED = 9


def test_a_kill_at_any_point_leaves_whole_samples_and_no_file_that_nobody_names(tmp_path: Path) -> None:
    """What counts as whole has its content, at every point; when devices ask again, all is as if nobody was killed."""
    program = Path(__file__).with_name("captures_killed.py")
    tests = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, program, tmp_path], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    states: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [KILLED] * (len(states) - 1) + [0] == [state["ended"] for state in states]
    assert len(states) > 10
    seen = set()
    for state in states:
        assert state["before"]["whole"]
        seen.add(tuple(state["before"]["ids"]))
        after = state["after"]
        assert (after["ids"], after["whole"], after["files"]) == ([2], True, [str(SAMPLE["digest"])[7:]])
        assert after["erased"] in (1, 2)
    assert {(), (1,), (1, 2), (2,)} <= seen

"""The process is killed before every single touch of the disk, while it takes samples and while it withdraws."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

KILLED = 9


def test_a_kill_at_any_point_leaves_whole_samples_within_bounds_and_none_that_was_withdrawn(tmp_path: Path) -> None:
    """Real processes, really killed; every state in between is looked at with the code that starts next.

    `content_of` compares digests, so that a torn sample would end the program with an error.
    """
    program = Path(__file__).with_name("capture_killed.py")
    tests = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, program, tmp_path], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    states: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    last = states.pop()
    assert (last["ended"], last["after"], last["files"]) == (0, [4], 2)
    assert len(states) > 30
    assert {KILLED} == {state["ended"] for state in states}
    seen = set()
    for state in states:
        if "after" not in state:
            continue
        assert len(state["before"]) <= 2
        assert 2 * len(state["after"]) == state["files"]
        assert state["rest"] == []
        # 4 was taken under the second consent: the others may not outlive the first.
        allowed = {4} if state["withdrawn"] else {1, 2, 3}
        assert set(state["after"]) <= (allowed if state["given"] else set())
        seen.add(tuple(state["after"]))
    assert {(), (1,), (1, 2), (2, 3)} <= seen

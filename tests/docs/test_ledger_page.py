"""docs/ledger.md: its commands run in a clone of a fleet with a ledger, and its tables are those of the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ledgers import play
from muster.attest.ledger.chain import REASONS
from muster.kinds.event_kind import EVENT_KINDS
from scratch_repository import git

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ledger.md").read_text()
BLOCKS = re.findall(r"^```console\n\$ (.*)\n((?:.+\n)*)```", PAGE, flags=re.MULTILINE)


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    """In order, in a fresh clone; each says what the page shows, with … for anything, and exits 0."""
    played = play(tmp_path / "played")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(played.repository), str(clone))
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "muster"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m muster "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "MUSTER_STATE": str(played.state),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    assert len(BLOCKS) == PAGE.count("```console")
    for command, shown in BLOCKS:
        done = subprocess.run(
            ["bash", "-c", command], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert re.fullmatch(pattern(shown), done.stdout), (command, done.stdout)


def pattern(shown: str) -> str:
    """What is shown as a regular expression."""
    return "[^\n]*".join(map(re.escape, shown.split("…")))


@pytest.mark.parametrize("reason", [*REASONS, *(kind.reason for kind in EVENT_KINDS.values())])
def test_every_reason_stands_in_a_table(reason: str) -> None:
    """What verify finds, and what events can say."""
    assert len(re.findall(rf"^\| `{reason}` \|", PAGE, flags=re.MULTILINE)) == 1

"""Reviews that a forge tells come into an evidence package by the verb, over a real socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from served_github import served
from simulated_github import REPOSITORY, TOKEN, make_github

from muster.attest.keys import public_half
from muster.attest.package.archive import unpack
from muster.cli import exit_code_of
from packages import NAME, PackagedFleet


def test_who_reviewed_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An approval of the head that was merged counts as one of the history, the author's own as none."""
    fleet = PackagedFleet(tmp_path / "fleet")
    key, root, target = tmp_path / "lab.pem", tmp_path / "lab.pub", tmp_path / "a.tar"
    key.touch(mode=0o600)
    key.write_bytes(fleet.key)
    root.write_text(public_half(fleet.key))
    github = make_github("ada", "Widen to the canary", None)
    github.pull["head"]["sha"] = github.commits[-1]["sha"] = fleet.head
    for login in ("ben", "ada"):
        github.review(login, "APPROVED")
    export = ["evidence", "export", NAME, "--key", str(key), "-o", str(target), "--pull-request"]
    environment = {**os.environ, "GITHUB_REPOSITORY": REPOSITORY}
    with served(github) as address:

        def code(number: str, token: str) -> int:
            asked = {**environment, "GITHUB_API_URL": address, "GITHUB_TOKEN": token}
            command = [sys.executable, "-m", "muster", *export, number]
            return subprocess.run(command, cwd=fleet.folder, env=asked, capture_output=True, check=False).returncode

        assert (code("7", ""), code("8", TOKEN)) == (2, 2)
        assert not target.exists()
        assert code("7", TOKEN) == 0
    (told,) = json.loads(unpack(target.read_bytes())["reviews.json"])["requests"]
    assert (told["forge"], told["number"], told["author"], told["head"]) == ("github", 7, "ada", fleet.head)
    assert ("ben", fleet.head) in [(one["by"], one["commit"]) for one in told["approvals"]]
    assert exit_code_of(["evidence", "verify", str(target), "--root", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "ok  reviews: 1 approvals in 1 pull requests, 1 of commits of the history; as github told" in shown

"""Reviews that a forge tells come into an evidence package by the verb, over a real socket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from served_github import served
from simulated_github import REPOSITORY, TOKEN, make_github

from muster.attest.keys import public_half
from muster.attest.package.archive import unpack
from muster.cli import exit_code_of
from packages import NAME, PackagedFleet


def test_who_reviewed_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
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
    monkeypatch.chdir(fleet.folder)
    export = ["evidence", "export", NAME, "--key", str(key), "-o", str(target), "--pull-request", "7"]
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    monkeypatch.setenv("GITHUB_TOKEN", "")
    assert exit_code_of(export) == 2
    assert "hint:" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    with served(github) as address:
        monkeypatch.setenv("GITHUB_API_URL", address)
        assert exit_code_of(export) == 0
        assert exit_code_of([*export[:-1], "8"]) == 2
    (told,) = json.loads(unpack(target.read_bytes())["reviews.json"])["requests"]
    assert (told["forge"], told["number"], told["author"], told["head"]) == ("github", 7, "ada", fleet.head)
    assert ("ben", fleet.head) in [(one["by"], one["commit"]) for one in told["approvals"]]
    capsys.readouterr()
    assert exit_code_of(["evidence", "verify", str(target), "--root", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "ok  reviews: 1 approvals in 1 pull requests, 1 of commits of the history; as github told" in shown

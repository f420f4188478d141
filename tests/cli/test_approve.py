"""`muster approve`, as a reviewer without a forge uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muster.attest.keys import new_private_key, public_half
from muster.cli import exit_code_of
from scratch_fleet import COHORTS, POLICY
from scratch_repository import commit_all, git, repository_of, write

KEY = new_private_key()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fleet whose owner is ben, with a branch to approve, and ben's key beside it."""
    from textwrap import dedent, indent

    owners = """\
        # yaml-language-server: $schema=../schemas/owners.json
        apiVersion: muster/v1
        kind: Owners
        metadata:
          name: owners
        spec:
          people:
            - login: ben
              approvalKeys: [ben]
          policyOwners: [ben]
        """
    key = (
        "# yaml-language-server: $schema=../../schemas/signing-key.json\n"
        "apiVersion: muster/v1\nkind: SigningKey\nmetadata:\n  name: ben\n"
        f"spec:\n  publicKey: |\n{indent(public_half(KEY), '    ')}  uses: [approvals]\n"
    )
    files = {**COHORTS, "policies/default.yaml": POLICY, "policies/owners.yaml": owners}
    repository = repository_of(
        tmp_path / "fleet", {**{path: dedent(text) for path, text in files.items()}, "policies/keys/ben.yaml": key}
    )
    git(repository.path, "switch", "-q", "-c", "promote")
    write(repository.path, {"a.txt": "a"})
    commit_all(repository.path)
    write_key(tmp_path / "ben.pem", KEY)
    return repository.path


def write_key(path: Path, pem: bytes) -> None:
    """A private key, as its owner keeps it."""
    path.touch(0o600)
    path.write_bytes(pem)


def approve(folder: Path, *arguments: str, key: str = "ben.pem") -> int:
    """The exit code of the verb."""
    return exit_code_of(["approve", "--repository", str(folder), "--key", str(folder.parent / key), *arguments])


def test_an_approval_counts_until_the_next_commit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the verb writes is what the plain-git forge reads, bound to the commit."""
    from datetime import UTC, datetime

    from muster.forge.git.driver import from_repository
    from muster.source.git import Repository

    assert approve(folder) == 0
    assert "ben approves the change at" in capsys.readouterr().out
    forge = from_repository(Repository(folder), lambda: datetime.now(UTC))
    assert [(given.by, given.of) for given in forge.read("promote").approvals] == [("ben", "")]
    write(folder, {"a.txt": "b"})
    commit_all(folder)
    assert forge.read("promote").approvals == ()


def test_one_thing_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--of` narrows the approval; as JSON it says who approved what."""
    assert approve(folder, "promote", "--of", "checklist/security-review", "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["by"], told["of"]) == ("ben", "checklist/security-review")
    assert told["commit"] == git(folder, "rev-parse", "promote")


def test_a_key_that_the_base_does_not_know(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The approval would not count, so it is refused, with the way to declare the key; nothing is written."""
    write_key(folder.parent / "other.pem", new_private_key())
    assert approve(folder, key="other.pem") == 1
    assert "policies/owners.yaml" in capsys.readouterr().err
    assert "refs/notes" not in git(folder, "for-each-ref")


BAD = {
    "no such commit": ["nothing"],
    "no such thing to approve": ["--of", "everything"],
    "no such base": ["--base", "nothing"],
}


@pytest.mark.parametrize("arguments", BAD.values(), ids=BAD)
def test_bad_usage(folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It could not be told: exit code 2 with a hint, and nothing is written."""
    assert approve(folder, *arguments) == 2
    assert "hint:" in capsys.readouterr().err
    assert "refs/notes" not in git(folder, "for-each-ref")


def test_no_key_file(folder: Path) -> None:
    """A missing key is bad usage."""
    assert approve(folder, key="none.pem") == 2

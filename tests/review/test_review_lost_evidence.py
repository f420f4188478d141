"""Evidence that a pull request takes away: what speaks against a release stays, whatever else the change does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from evidences import evidence_files
from muster.attest.evidence import evidence_path, sign_evidence
from muster.attest.keys import new_private_key, public_half
from muster.check.judgement import Judgement
from muster.kinds.evidence import REBUILD, REHEARSAL
from muster.kinds.release import Release
from muster.source.load import Loader
from reviews import NOW, Proposal
from scratch_fleet import fleet_files, release_yaml
from scratch_repository import git

AT = "2026-02-01T00:00:00Z"
DAY = NOW - timedelta(days=1)


class Lab:
    """A fleet whose main trusts a key for evidence, with statements about 1.0.0 on it."""

    def __init__(self, folder: Path) -> None:
        self.key = new_private_key()
        pem = "".join(f"    {line}\n" for line in public_half(self.key).splitlines())
        head = "apiVersion: muster/v1\nkind: SigningKey\nmetadata:\n  name: lab\nspec:\n  uses: [evidence]\n"
        self.proposal = Proposal(
            folder,
            {
                **fleet_files(),
                "policies/keys/lab.yaml": f"{head}  publicKey: |\n{pem}",
                "releases/reader/0.9.0.yaml": release_yaml("0.9.0", cohorts={}),
            },
        )
        fleet = (
            Loader().commit(self.proposal.repository, self.proposal.repository.resolve("main")).fleet_or_refuse("main")
        )
        self.release, self.older = (self._named(fleet.release(f"reader/{version}")) for version in ("1.0.0", "0.9.0"))
        self.digest = self.release.spec.artifact.digest

    def _named(self, release: Release | None) -> Release:
        assert release is not None
        return release

    def merge(self, files: dict[str, bytes]) -> None:
        """Bring files to main."""
        if files:
            self.proposal.change(dict(files), "evidence")
        git(self.proposal.folder, "branch", "-f", "main", "topic")

    def lost(self, files: dict[str, bytes | None]) -> list[str]:
        """What the change of these files is said to take away."""
        self.proposal.change(dict(files), "tidy up")
        return [verdict.subject for verdict in _blocking(self.proposal.review())]

    def bad_rebuild(self) -> dict[str, bytes]:
        """A rebuild that came out different."""
        said = {"release": self.release.name, "rebuiltAt": AT, "level": "L1", "verdict": "BAD", "cpu": "arm64"}
        return self._signed("rebuild", REBUILD, {**said, "fromTable": "pinned"})

    def bad_rehearsal(self) -> dict[str, bytes]:
        """A rehearsal from which devices did not come back."""
        said = {"release": self.release.name, "backTo": "reader/0.9.0", "rehearsedAt": AT, "where": "staging"}
        return self._signed("rehearsal", REHEARSAL, {**said, "returned": False})

    def measured(self, days_ago: int) -> dict[str, bytes]:
        """Everything measured that many days ago, in files of their own."""
        made = evidence_files(self.release, self.older, self.key, NOW - timedelta(days=days_ago))
        return {
            path.replace(".json", f"-{days_ago}.json"): data for path, data in made.items() if "measurement" in path
        }

    def _signed(self, name: str, kind: str, said: dict[str, object]) -> dict[str, bytes]:
        return {evidence_path(self.digest, name): sign_evidence({"artifact": self.digest}, kind, said, self.key)}


def _blocking(judgement: Judgement) -> list:  # type: ignore[type-arg]
    return [verdict for verdict in judgement.verdicts if verdict.rule == "weakening/evidence" and verdict.blocks]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A fleet of its own for each test."""
    return Lab(tmp_path / "fleet")


@pytest.mark.parametrize("bad", [Lab.bad_rebuild, Lab.bad_rehearsal], ids=["rebuild", "rehearsal"])
@pytest.mark.parametrize("by", [None, b"{}\n"], ids=["deleted", "overwritten"])
def test_a_bad_result_stays(lab: Lab, bad: Callable[[Lab], dict[str, bytes]], by: bytes | None) -> None:
    """Also where the change touches nothing else, so that no gate is asked: the next change would be free of it."""
    files = bad(lab)
    lab.merge(files)

    assert lab.lost(dict.fromkeys(files, by)) == list(files)


def test_a_result_that_moves_is_not_lost(lab: Lab) -> None:
    """Under another name in the same folder it counts as before."""
    ((path, data),) = lab.bad_rebuild().items()
    lab.merge({path: data})

    assert lab.lost({path: None, path.replace("rebuild", "rebuild-arm"): data}) == []


def test_the_newest_measurement_stays(lab: Lab) -> None:
    """Or an older one that is better would answer; an older one may go, and so may one that a newer one replaces."""
    lab.merge({**lab.measured(3), **lab.measured(2)})

    assert lab.lost(dict.fromkeys(lab.measured(3))) == []
    lab.merge({})
    assert lab.lost(dict.fromkeys(lab.measured(2))) == sorted(lab.measured(2))
    assert lab.lost(dict(lab.measured(1))) == []


def test_what_nobody_trusted_may_go(lab: Lab) -> None:
    """Statements of a stranger never counted."""
    lab.key, own = new_private_key(), lab.key
    strange = lab.bad_rebuild()
    lab.key = own
    lab.merge(strange)

    assert lab.lost(dict.fromkeys(strange)) == []

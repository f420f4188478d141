"""Evidence in pull requests: only what a key of the base signed about this very artifact counts."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from evidences import evidence_files
from muster.attest.evidence import evidence_path, sign_evidence
from muster.attest.keys import new_private_key, public_half
from muster.check.judgement import Judgement
from muster.kinds.evidence import REBUILD
from muster.kinds.release import Release
from muster.source.load import Loader
from reviews import NOW, Proposal
from scratch_repository import git

ROOT = Path(__file__).parents[2]
NEW = "releases/meter-reader/1.2.0.yaml"
MEASURED_AT = NOW - timedelta(days=1)


def _key_file(name: str, key: bytes) -> str:
    pem = "".join(f"    {line}\n" for line in public_half(key).splitlines())
    head = f"apiVersion: muster/v1\nkind: SigningKey\nmetadata:\n  name: {name}\nspec:\n  uses: [evidence]\n"
    return f"{head}  publicKey: |\n{pem}"


class ExampleFleet:
    """The example fleet with a key for evidence on main, and a topic that widens 1.2.0 to its canary."""

    def __init__(self, folder: Path) -> None:
        self.key = new_private_key()
        names = ("releases", "devices", "policies", "docs")
        files: dict[str, str | bytes] = {
            str(path.relative_to(ROOT)): path.read_bytes()
            for name in names
            for path in (ROOT / name).rglob("*")
            if path.suffix in (".yaml", ".mmd", ".md")
        }
        self.proposal = Proposal(folder, files | {"policies/keys/lab.yaml": _key_file("lab", self.key)})
        text = (ROOT / NEW).read_text()
        self.widened = text.replace("canary: 0%", "canary: 5%")
        assert text != self.widened
        self.new, self.old = self._release("1.2.0"), self._release("1.1.0")
        self.folder = f"evidence/{self.new.spec.artifact.digest.removeprefix('sha256:')}"

    def _release(self, version: str) -> Release:
        repository = self.proposal.repository
        found = Loader().commit(repository, repository.resolve("main")).fleet_or_refuse("main")
        release = found.release(f"meter-reader/{version}")
        assert release is not None
        return release

    def evidence(self, key: bytes | None = None, at: datetime = MEASURED_AT) -> dict[str, bytes]:
        """Good evidence about 1.2.0, signed with this key."""
        return evidence_files(self.new, self.old, key or self.key, at)

    def widen(self, files: dict[str, bytes]) -> Judgement:
        """Widen 1.2.0 with these files beside it."""
        self.proposal.change({NEW: self.widened, **files})
        return self.proposal.review()


@pytest.fixture
def fleet(tmp_path: Path) -> ExampleFleet:
    """A fleet of its own for each test."""
    return ExampleFleet(tmp_path / "fleet")


def _gates(judgement: Judgement) -> dict[str, str]:
    """Gate → its worst outcome."""
    order = ("pass", "inconclusive", "error", "fail")
    found: dict[str, str] = {}
    for verdict in judgement.verdicts:
        if verdict.section == "gate" and verdict.gate:
            found[verdict.gate] = max(found.get(verdict.gate, "pass"), verdict.outcome, key=order.index)
    return found


def test_good_evidence_passes(fleet: ExampleFleet) -> None:
    """What a key of the base signed about this artifact, and is fresh, satisfies every gate of production."""
    assert set(_gates(fleet.widen(fleet.evidence())).values()) == {"pass"}


def test_a_key_of_the_head_does_not_count(fleet: ExampleFleet) -> None:
    """A pull request cannot bring the key that vouches for it; the new trust root is a weakening besides."""
    own = new_private_key()
    files = {**fleet.evidence(own), "policies/keys/mine.yaml": _key_file("mine", own).encode()}

    judgement = fleet.widen(files)

    assert _gates(judgement)["accuracy-kept"] == "fail"
    assert any(verdict.section == "weakening" and verdict.blocks for verdict in judgement.verdicts)


def test_evidence_of_another_artifact_does_not_count(fleet: ExampleFleet) -> None:
    """Statements about 1.1.0, put into the folder of 1.2.0, are named as such."""
    replayed = evidence_files(fleet.old, fleet.old, fleet.key, MEASURED_AT)
    files = {f"{fleet.folder}/{path.rpartition('/')[2]}": data for path, data in replayed.items()}

    judgement = fleet.widen(files)

    assert _gates(judgement)["accuracy-kept"] == "fail"
    assert _gates(judgement)["origin-known"] == "fail"


def test_evidence_that_names_another_release_does_not_count(fleet: ExampleFleet) -> None:
    """A trusted statement about these bytes, made for another model's release, does not answer for this one."""
    other = fleet.new.model_copy(update={"metadata": fleet.new.metadata.model_copy(update={"name": "gas-reader"})})

    judgement = fleet.widen(evidence_files(other, fleet.old, fleet.key, MEASURED_AT))

    assert _gates(judgement)["accuracy-kept"] == "fail"


def test_stale_evidence_does_not_count(fleet: ExampleFleet) -> None:
    """Evidence older than the tier allows fails, and so does evidence from the future."""
    old = fleet.widen(fleet.evidence(at=NOW - timedelta(days=91)))
    future = fleet.widen(fleet.evidence(at=NOW + timedelta(days=1)))

    assert _gates(old)["accuracy-kept"] == "fail"
    assert _gates(future)["accuracy-kept"] == "fail"


def test_a_bad_rebuild_cannot_be_deleted(fleet: ExampleFleet) -> None:
    """A negative result that stands on main counts although the pull request removes its file."""
    bad = {
        "release": fleet.new.name,
        "rebuiltAt": "2026-02-01T00:00:00Z",
        "level": "L1",
        "verdict": "BAD",
        "cpu": "arm64/ARM/8/1",
        "fromTable": "pinned",
    }
    digest = fleet.new.spec.artifact.digest
    path = evidence_path(digest, "rebuild-elsewhere")
    fleet.proposal.change({path: sign_evidence({"artifact": digest}, REBUILD, bad, fleet.key)}, "bad")
    git(fleet.proposal.folder, "checkout", "-q", "main")
    git(fleet.proposal.folder, "merge", "-q", "--ff-only", "topic")
    git(fleet.proposal.folder, "checkout", "-q", "topic")
    fleet.proposal.change({path: None}, "hide it")

    assert _gates(fleet.widen(fleet.evidence()))["rebuilt"] == "fail"


def test_a_policy_change_hidden_in_the_same_pull_request_is_found(fleet: ExampleFleet) -> None:
    """The gates of the base are asked, and what the head loosens is a finding with before and after."""
    policy = (ROOT / "policies/default.yaml").read_text()
    first = policy.index('threshold: "0.97"')
    loosened = policy[:first] + policy[first:].replace('threshold: "0.97"', 'threshold: "0.1"', 1)

    judgement = fleet.widen({"policies/default.yaml": loosened.encode()})

    assert _gates(judgement)["accuracy-kept"] == "fail"
    found = [verdict for verdict in judgement.verdicts if verdict.section == "weakening"]
    assert any("0.97" in verdict.message and "0.1" in verdict.message and verdict.blocks for verdict in found)


def test_a_huge_file_is_a_finding(fleet: ExampleFleet) -> None:
    """Evidence and declarations have a size; beyond it they are named, not read."""
    judgement = fleet.widen({f"{fleet.folder}/measurement.json": b"[" * (2 * 2**20)})

    assert any(verdict.rule == "change/too-large" and verdict.blocks for verdict in judgement.verdicts)

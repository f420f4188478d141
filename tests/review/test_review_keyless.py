"""Keyless evidence in pull requests: identities and the trusted root come from the base, never from the head."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from evidences import evidence_files
from muster.attest.keyless_signing import KeylessSigner
from muster.check.judgement import Judgement
from muster.kinds.release import Release
from muster.simulate.sigstore.service import Sigstore, running
from muster.source.load import Loader
from reviews import NOW, Proposal

ROOT = Path(__file__).parents[2]
NEW = "releases/meter-reader/1.2.0.yaml"
PINNED = "policies/keys/sigstore.json"
DECLARED = "policies/identities/ci.yaml"
WORKFLOW = "https://ci.example/fleet/.ci/measure.yml@refs/heads/main"


@pytest.fixture(scope="module")
def sigstore() -> Iterator[Sigstore]:
    """One instance for all tests here."""
    with running() as instance:
        yield instance


class Fleet:
    """The example fleet with an identity on main, and evidence about 1.2.0 that the identity signed."""

    def __init__(self, folder: Path, instance: Sigstore, *, declared: bool = True) -> None:
        names = ("releases", "devices", "policies", "docs")
        files: dict[str, str | bytes] = {
            str(path.relative_to(ROOT)): path.read_bytes()
            for name in names
            for path in (ROOT / name).rglob("*")
            if path.suffix in (".yaml", ".mmd", ".md")
        }
        self.trust = {
            PINNED: json.dumps(instance.trusted_root()),
            DECLARED: "apiVersion: muster/v1\nkind: TrustedIdentity\nmetadata:\n  name: ci\n"
            f'spec:\n  identity: "{WORKFLOW}"\n  issuer: "{instance.issuer}"\n',
        }
        self.proposal = Proposal(folder / "fleet", files | (self.trust if declared else {}))
        text = (ROOT / NEW).read_text()
        self.widened = {NEW: text.replace("canary: 0%", "canary: 5%")}
        token, config = folder / "token", folder / "config.json"
        token.touch(mode=0o600)
        token.write_text(instance.token(WORKFLOW))
        config.write_text(json.dumps(instance.trust_config(1)))
        signer = KeylessSigner(token, config)
        self.evidence = evidence_files(self._release("1.2.0"), self._release("1.1.0"), signer, NOW - timedelta(days=1))

    def _release(self, version: str) -> Release:
        repository = self.proposal.repository
        found = Loader().commit(repository, repository.resolve("main")).fleet_or_refuse("main")
        release = found.release(f"meter-reader/{version}")
        assert release is not None
        return release

    def propose(self, **files: str) -> Judgement:
        """Widen 1.2.0 with its evidence, and with these files beside it."""
        self.proposal.change({**self.widened, **self.evidence, **files})
        return self.proposal.review()


def _outcome(judgement: Judgement, gate: str) -> set[str]:
    return {verdict.outcome for verdict in judgement.verdicts if verdict.gate == gate}


def _weakenings(judgement: Judgement) -> list[str]:
    found = [verdict for verdict in judgement.verdicts if verdict.section == "weakening" and verdict.blocks]
    return [f"{verdict.rule} {verdict}" for verdict in found]


def test_evidence_of_a_declared_identity_counts(sigstore: Sigstore, tmp_path: Path) -> None:
    """Every gate of production is satisfied without any key, and nothing is a weakening."""
    judgement = Fleet(tmp_path, sigstore).propose()
    gates = [verdict for verdict in judgement.verdicts if verdict.section == "gate" and verdict.gate]
    assert gates
    assert [verdict.message for verdict in gates if verdict.outcome != "pass"] == []
    assert _weakenings(judgement) == []


def test_an_identity_of_the_head_does_not_count(sigstore: Sigstore, tmp_path: Path) -> None:
    """A pull request cannot bring whom it is vouched for by; root and identity are weakenings besides."""
    fleet = Fleet(tmp_path, sigstore, declared=False)
    judgement = fleet.propose(**fleet.trust)
    assert "pass" not in _outcome(judgement, "accuracy-kept")
    told = " ".join(_weakenings(judgement))
    assert "identities/ci" in told
    assert "sigstore.json" in told


def test_another_trusted_root_is_a_weakening(sigstore: Sigstore, tmp_path: Path) -> None:
    """The root changes by pull request alone: the base's judges, and to change it needs the owners of policy."""
    with running() as other:
        judgement = Fleet(tmp_path, sigstore).propose(**{PINNED: json.dumps(other.trusted_root())})
    assert _outcome(judgement, "accuracy-kept") == {"pass"}
    assert "sigstore.json" in " ".join(_weakenings(judgement))


def test_another_issuer_of_an_identity_is_a_weakening(sigstore: Sigstore, tmp_path: Path) -> None:
    """And so is another name, and a further use; to trust nobody is none."""
    fleet = Fleet(tmp_path, sigstore)
    text = fleet.trust[DECLARED]
    for changed in (
        text.replace(sigstore.issuer, "https://issuer.example"),
        text.replace(WORKFLOW, WORKFLOW + "2"),
        text + "  uses: [evidence, artifacts]\n",
    ):
        assert "identities/ci" in " ".join(_weakenings(fleet.propose(**{DECLARED: changed})))
    fleet.proposal.change({DECLARED: None})
    assert _weakenings(fleet.proposal.review()) == []

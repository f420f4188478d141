"""The proof: the story's release is built again, and an identity signs what came out of it, with a key that is thrown
away.

A Sigstore of the project's own runs for as long as the signing takes. The repository pins its trusted root and declares
the identity; what was signed is believed at the end, when that Sigstore is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from muster.artifacts.store import Store
from muster.demo.report import Check
from muster.kinds.errors import Unusable
from muster.kinds.release import Release
from muster.source.git import Repository
from muster.source.load import Loader

IDENTITY: Final = "https://ci.example/fleet/.ci/rebuild.yml@refs/heads/main"
_DECLARED: Final = "policies/identities/demo-rebuilder.yaml"
_NAME: Final = "rebuild-demo"


@dataclass(frozen=True)
class Proof:
    """`path` is the evidence of `release` in the clone; `files` are what the first commit brings, by path."""

    release: str
    path: str
    files: Mapping[str, bytes]


def prove(clone: Path, state: Path, release_file: str) -> Proof:
    """Build the release of a clone again, and have an identity sign the verdict. Raises `MusterError`.

    Nothing is written to the clone: `files` are what its next commit has to bring.
    """
    from muster.attest.evidence import evidence_path, sign_evidence
    from muster.attest.keyless_signing import KeylessSigner
    from muster.attest.private_files import create_private
    from muster.attest.signers import TRUSTED_ROOT
    from muster.kinds.evidence import REBUILD
    from muster.simulate.sigstore.service import running

    release, predicate = _rebuilt(clone, state, release_file)
    path = evidence_path(release.spec.artifact.digest, _NAME)
    token, config = state / "demo-identity-token", state / "demo-trust-config.json"
    with running() as sigstore:
        create_private(token, sigstore.token(IDENTITY).encode())
        # Version 2 of the log tells no time: a timestamp authority does.
        config.write_text(json.dumps(sigstore.trust_config(2)))
        subjects = {release.name: release.spec.artifact.digest}
        signed = sign_evidence(subjects, REBUILD, predicate, KeylessSigner(token, config))
        token.unlink()
        trust = {
            TRUSTED_ROOT: json.dumps(sigstore.trusted_root(), indent=2).encode() + b"\n",
            _DECLARED: _declaration(sigstore.issuer).encode(),
        }
    return Proof(release.name, path, {**trust, path: signed})


def check_proof(proof: Proof, clone: Path) -> Check:
    """Whether the newest commit of the clone believes the proof, and no commit with another trusted root would."""
    from muster.attest.evidence import read_evidence
    from muster.kinds.evidence import Rebuild
    from muster.review.keyless import keyless_of
    from muster.simulate.sigstore.service import Clocks, Sigstore

    repository = Repository(clone)
    commit = repository.resolve("HEAD")
    fleet = Loader().commit(repository, commit).fleet_or_refuse("HEAD")
    trusted = keyless_of(repository, commit, fleet, "evidence")
    data = proof.files[proof.path]
    found = read_evidence(proof.path, data, (), trusted)
    # One that never ran: all that counts of it is that its keys are others.
    stranger = Sigstore("http://127.0.0.1:0", Clocks()).trusted_root()
    elsewhere = read_evidence(proof.path, data, (), replace(trusted, root=json.dumps(stranger).encode()))
    what = f"an identity vouches for the rebuild of {proof.release}, offline, on the trusted root in git"
    if found.problem is not None:
        return Check(what, holds=False, seen=found.problem)
    rebuilt = Rebuild.model_validate(found.predicate)
    seen = f"{rebuilt.verdict} at {rebuilt.level}, signed by {found.signer}; on another root: {elsewhere.problem}"
    return Check(what, rebuilt.verdict == "GOOD" and elsewhere.problem is not None, seen)


def _rebuilt(clone: Path, state: Path, release_file: str) -> tuple[Release, dict[str, object]]:
    from muster.build.declarations import read_bounded, read_release
    from muster.build.environment import MAX_LOCK
    from muster.build.hermetic.run import own_run
    from muster.build.measuring.machine import this_machine
    from muster.build.rebuild import rebuild_release

    release = read_release(clone, release_file)
    lock = read_bounded(clone, release.spec.builder.lock, MAX_LOCK)
    about, run = (this_machine(), datetime.now(UTC)), own_run(release.spec.builder, lock)
    outcome = rebuild_release(release, Store(state / "store"), lock, about, run=run)
    if outcome.rebuild.verdict == "UNKNOWN":
        raise Unusable(f"{release.name} could not be built again: {outcome.reason}", "run the demo with: make demo")
    return release, outcome.rebuild.model_dump(mode="json", exclude_none=True)


def _declaration(issuer: str) -> str:
    head = "apiVersion: muster/v1\nkind: TrustedIdentity\nmetadata:\n  name: demo-rebuilder\n"
    return f'{head}spec:\n  identity: "{IDENTITY}"\n  issuer: "{issuer}"\n'

"""Somebody who signs keyless at an instance of the project's own Sigstore, and a base that trusts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from muster.attest.evidence import evidence_path, read_evidence, sign_evidence
from muster.attest.keyless import Keyless
from muster.attest.keyless_signing import KeylessSigner
from muster.kinds.digest import digest_of
from muster.kinds.evidence import MEASUREMENT, Evidence
from muster.kinds.resource import Metadata
from muster.kinds.trusted_identity import TrustedIdentity, TrustedIdentitySpec
from muster.simulate.sigstore.service import RekorVersion, Sigstore

WORKFLOW = "https://ci.example/fleet/.ci/measure.yml@refs/heads/main"
ARTIFACT, OTHER = digest_of(b"artifact"), digest_of(b"other")
PATH = evidence_path(ARTIFACT, "measurement")
PREDICATE = {"release": "meter-reader/1.2.0", "measuredAt": "2026-03-01T10:00:00Z"}
SUBJECTS = {"meter-reader/1.2.0": ARTIFACT}


class Place:
    """Files of somebody who signs at an instance."""

    def __init__(self, folder: Path, instance: Sigstore) -> None:
        self.folder, self.instance = folder, instance

    def signer(self, rekor: RekorVersion = 1, identity: str = WORKFLOW) -> KeylessSigner:
        """With a fresh token and the instance's config of now."""
        token, config = self.folder / "token", self.folder / "config.json"
        token.unlink(missing_ok=True)
        token.touch(mode=0o600)
        token.write_text(self.instance.token(identity) + "\n")
        config.write_text(json.dumps(self.instance.trust_config(rekor)))
        return KeylessSigner(token, config)

    def evidence(self, rekor: RekorVersion = 1, identity: str = WORKFLOW) -> bytes:
        """A measurement of the artifact."""
        return sign_evidence(SUBJECTS, MEASUREMENT, PREDICATE, self.signer(rekor, identity))


def trusting(
    instance: Sigstore, *identities: TrustedIdentity, identity: str = WORKFLOW, issuer: str | None = None
) -> Keyless:
    """A base that pins the instance's root and declares one identity, `ci`, or these."""
    spec = TrustedIdentitySpec(identity=identity, issuer=issuer or instance.issuer)
    declared = identities or (TrustedIdentity(metadata=Metadata(name="ci"), spec=spec),)
    return Keyless(declared, json.dumps(instance.trusted_root()).encode())


def read(data: bytes, trusted: Keyless, path: str = PATH) -> Evidence:
    """What a gate would see, where no key is trusted."""
    return read_evidence(path, data, (), trusted)


def altered(data: bytes, *steps: str | int, value: Any) -> bytes:
    """The bundle with another value at one place; None takes it away."""
    bundle = json.loads(data)
    inner = bundle
    for step in steps[:-1]:
        inner = inner[step]
    if value is None:
        del inner[steps[-1]]
    else:
        inner[steps[-1]] = value
    return json.dumps(bundle).encode()

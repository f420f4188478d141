"""The project's own Sigstore is one: the real client signs with it and verifies it, through either Rekor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import jwt
import pytest
from sigstore.errors import VerificationError
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from muster.simulate.sigstore.service import RekorVersion, Sigstore, running

WORKFLOW = "https://ci.example/fleet/.ci/measure.yml@refs/heads/main"


@pytest.fixture(scope="module")
def sigstore() -> Iterator[Sigstore]:
    """One instance for all tests here."""
    with running() as instance:
        yield instance


@pytest.mark.parametrize("rekor", [1, 2])
@pytest.mark.parametrize("identity", [WORKFLOW, "ada@fleet.example"])
def test_what_the_client_signs_it_verifies(sigstore: Sigstore, rekor: RekorVersion, identity: str) -> None:
    """Certificate, both logs, inclusion proofs in a tree that grows, and the time; and not for another artifact."""
    config = ClientTrustConfig.from_json(json.dumps(sigstore.trust_config(rekor)))
    context = SigningContext.from_trust_config(config)
    verifier, policy = Verifier(trusted_root=config.trusted_root), Identity(identity=identity, issuer=sigstore.issuer)
    with context.signer(IdentityToken(sigstore.token(identity))) as signer:
        bundles = {data: signer.sign_artifact(data) for data in (b"a", b"b", b"c")}
    for data, bundle in bundles.items():
        verifier.verify_artifact(data, bundle, policy)
    with pytest.raises(VerificationError):
        verifier.verify_artifact(b"b", bundles[b"a"], policy)


def test_a_token_that_it_did_not_make_certifies_nobody(sigstore: Sigstore) -> None:
    """The authority checks the token's signature, its audience and its time."""
    claims = jwt.decode(sigstore.token(WORKFLOW), options={"verify_signature": False})
    forged = jwt.encode(claims, "k" * 32, algorithm="HS256")
    for token in (forged, sigstore.token(WORKFLOW, lives=timedelta(seconds=-10))):
        with pytest.raises(jwt.PyJWTError):
            sigstore.certify(f"Bearer {token}", b"{}")


def test_a_request_without_bounds_is_refused(sigstore: Sigstore) -> None:
    """Broken requests get an answer of four hundred and something, and the service lives on."""
    import httpx

    for path in ("/api/v2/signingCert", "/api/v1/log/entries", "/api/v2/log/entries", "/api/v1/timestamp"):
        assert httpx.post(sigstore.url + path, content=b"\xff").status_code == 400
    assert httpx.post(sigstore.url + "/elsewhere", content=b"{}").status_code == 404

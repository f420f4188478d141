"""An identity that seals a package: it vouches for a key that seals this one package and is thrown away.

A certificate cannot seal by itself: a keyless bundle holds bytes that nobody signs, such as the name beside a log's
signature, so one of them could change unseen. This way the bundle is a member like any other, every byte of which the
key seals; and the key is worth what the identity is worth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from muster.attest.dsse import SignPayload
from muster.attest.evidence import read_statement, sign_evidence
from muster.attest.keyless import Keyless, open_keyless
from muster.attest.keys import key_id, public_half, public_key, public_pem
from muster.kinds.errors import Refused

VOUCHER: Final = "voucher.json"
"""The member in which an identity vouches for the key of the seal."""
PREDICATE_TYPE: Final = "muster:sealing-key/v1"

_HINT: Final = "export the package again, or give the trust root whose identity sealed it"


def vouch(private_key_pem: bytes, about: Mapping[str, Any], signer: SignPayload) -> bytes:
    """The identity's word for the public half of a key, which may seal what `about` describes and nothing else."""
    public = public_half(private_key_pem)
    return sign_evidence({"sealing-key": key_id(public)}, PREDICATE_TYPE, {**about, "publicKey": public}, signer)


def vouched_key(data: bytes, about: Mapping[str, Any], trusted: Keyless) -> tuple[str, str, str]:
    """Id and public PEM of the key that a voucher is about, and the `signer` that vouches.

    Raises `Refused` if no identity of `trusted` vouches, or for another package; `Unusable` for no key at all.
    """
    payload, signer = open_keyless(data, trusted, _HINT)
    said = read_statement(payload)
    if said.predicate_type != PREDICATE_TYPE or {**said.predicate, **about} != said.predicate:
        raise Refused(f"{signer} vouches for the seal of another package", _HINT)
    pem = public_pem(public_key(str(said.predicate.get("publicKey"))))
    if said.subjects != (key_id(pem),):
        raise Refused(f"{signer} vouches for another key than it names", _HINT)
    return key_id(pem), pem, signer

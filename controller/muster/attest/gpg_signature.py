"""OpenPGP signatures for commits, verified in process by Sequoia: no key ring, no agent, no program of the system.

Only certificates of the base whose fingerprint a person declares are offered to it, so a signature by any other key
has nothing to be verified with. An expired or revoked key signs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muster.attest.signers import Signers, signed_by
from muster.kinds.pull_request import CommitSignature

if TYPE_CHECKING:
    import pysequoia


def verify_gpg(payload: bytes, armored: bytes, signers: Signers) -> CommitSignature:
    """Who signed `payload`. Never raises."""
    try:
        return _verify(payload, armored, signers)
    except BaseException as error:
        # A panic of the library derives from BaseException; what it says holds stack traces, so none of it is shown.
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        return CommitSignature("unreadable", "gpg", reason="the OpenPGP signature cannot be read")


def _verify(payload: bytes, armored: bytes, signers: Signers) -> CommitSignature:
    import pysequoia

    signature = pysequoia.Sig.from_bytes(armored)
    found = [certificate for data in signers.certificates for certificate in _certificates(data)]
    declared = [certificate for certificate in found if certificate.fingerprint.upper() in signers.gpg]
    issuer = (signature.issuer_fingerprint or signature.issuer_key_id or "").upper()
    if not issuer or not any(key.endswith(issuer) for certificate in declared for key in _keys(certificate)):
        key = f"OpenPGP key {issuer}, or its certificate is missing in policies/keys"
        return signed_by(frozenset(), "gpg", key if issuer else "its OpenPGP key, which it does not name")
    try:
        valid = pysequoia.verify(bytes=payload, store=lambda _: declared, signature=signature).valid_sigs
    except RuntimeError:
        valid = []
    if not valid:
        reason = "the signature does not fit this commit, or its key has expired or was revoked"
        return CommitSignature("bad", "gpg", reason=reason)
    primary = valid[0].certificate.upper()
    return signed_by(signers.gpg.get(primary, frozenset()), "gpg", f"OpenPGP key {primary}")


def _certificates(data: bytes) -> list[pysequoia.Cert]:
    """Every certificate of a file; none of one that cannot be read, so that it takes no other with it."""
    import pysequoia

    try:
        return pysequoia.Cert.split_bytes(data)
    except RuntimeError:
        return []


def _keys(certificate: pysequoia.Cert) -> list[str]:
    """Fingerprints of its primary key and its subkeys."""
    from pysequoia.packet import PacketPile

    prints = [packet.fingerprint for packet in PacketPile.from_bytes(bytes(certificate))]
    return [fingerprint.upper() for fingerprint in prints if fingerprint]

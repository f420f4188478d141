"""SSH signatures (SSHSIG, as `ssh-keygen -Y sign -n git` writes them), for commits.

Written on `cryptography`: the one library for the format knows no ECDSA and takes RSA keys of any size. Only the
namespace "git" counts, so that a signature made for a file or an e-mail is none for a commit. Format: PROTOCOL.sshsig
of OpenSSH. Keys: ed25519, ECDSA on P-256, RSA from 2048 bits with SHA-2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from muster.attest.signers import Signers, signed_by
from muster.kinds.pull_request import CommitSignature

NAMESPACE: Final = b"git"
_MAGIC: Final = b"SSHSIG"
_BEGIN: Final = b"-----BEGIN SSH SIGNATURE-----"
_END: Final = b"-----END SSH SIGNATURE-----"
_HASHES: Final = (b"sha256", b"sha512")
_SMALLEST_RSA: Final = 2048
_LARGEST_RSA: Final = 16_384


class _MalformedError(Exception):
    """What is read is not what the format says. The text is a reason for a person."""


@dataclass(frozen=True)
class _Signature:
    key: bytes
    namespace: bytes
    hash_name: bytes
    algorithm: bytes
    value: bytes


def verify_ssh(payload: bytes, armored: bytes, signers: Signers) -> CommitSignature:
    """Who signed `payload`. Never raises."""
    try:
        signature = _parse(armored)
        if signature.namespace != NAMESPACE:
            return CommitSignature("bad", "ssh", reason="signed for another purpose than git (namespace)")
        logins = signers.ssh.get(signature.key, frozenset())
        named = fingerprint(signature.key)
        if not logins:
            return signed_by(logins, "ssh", named)
        _verify(signature, _signed(signature, payload))
    except _MalformedError as error:
        return CommitSignature("unreadable", "ssh", reason=str(error))
    except InvalidSignature:
        return CommitSignature("bad", "ssh", reason="the signature does not fit this commit")
    return signed_by(logins, "ssh", named)


def fingerprint(key: bytes) -> str:
    """How ssh-keygen -l names a key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _parse(armored: bytes) -> _Signature:
    lines = armored.strip().split(b"\n")
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise _MalformedError("not an SSH signature")
    try:
        blob = base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except (binascii.Error, ValueError):
        raise _MalformedError("the SSH signature is not in base64") from None
    if blob[:10] != _MAGIC + b"\0\0\0\1":
        raise _MalformedError("not an SSH signature of version 1")
    key, namespace, _, hash_name, inner = _strings(blob[10:], 5)
    algorithm, value = _strings(inner, 2)
    if hash_name not in _HASHES:
        raise _MalformedError("the SSH signature uses another hash than sha256 or sha512")
    return _Signature(key, namespace, hash_name, algorithm, value)


def _strings(data: bytes, count: int) -> list[bytes]:
    """Exactly so many length-prefixed strings, and nothing after them."""
    found = []
    for _ in range(count):
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length:
            raise _MalformedError("the SSH signature ends too soon")
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    if data:
        raise _MalformedError("something follows the SSH signature")
    return found


def _signed(signature: _Signature, payload: bytes) -> bytes:
    digest = hashlib.new(signature.hash_name.decode(), payload).digest()
    parts = (signature.namespace, b"", signature.hash_name, digest)
    return _MAGIC + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _verify(signature: _Signature, message: bytes) -> None:
    """Raises `InvalidSignature` or `_MalformedError`."""
    kind = _strings(signature.key[: 4 + int.from_bytes(signature.key[:4], "big")], 1)[0]
    try:
        key = load_ssh_public_key(kind + b" " + base64.b64encode(signature.key))
    except (ValueError, UnsupportedAlgorithm):
        raise _MalformedError("the SSH key cannot be read") from None
    match key, signature.algorithm:
        case ed25519.Ed25519PublicKey(), b"ssh-ed25519":
            key.verify(signature.value, message)
        case ec.EllipticCurvePublicKey(), b"ecdsa-sha2-nistp256" if isinstance(key.curve, ec.SECP256R1):
            key.verify(_dss(signature.value), message, ec.ECDSA(SHA256()))
        case rsa.RSAPublicKey(), b"rsa-sha2-256" | b"rsa-sha2-512" if _SMALLEST_RSA <= key.key_size <= _LARGEST_RSA:
            hashed = SHA256() if signature.algorithm == b"rsa-sha2-256" else SHA512()
            key.verify(signature.value, message, padding.PKCS1v15(), hashed)
        case _:
            raise _MalformedError("this kind or size of SSH key, or its hash, is not accepted")


def _dss(value: bytes) -> bytes:
    """The two numbers of an ECDSA signature, as DER."""
    numbers = [int.from_bytes(part, "big", signed=True) for part in _strings(value, 2)]
    if any(number <= 0 or number.bit_length() > 256 for number in numbers):
        raise InvalidSignature
    return encode_dss_signature(*numbers)

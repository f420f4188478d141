"""Signing keys: EC P-256 pairs in PEM.

Rules: no other curve, no other kind of key, no passphrase. A key's id is the digest of its public PEM as
`cryptography` writes it, which is also the hint in a Model Signing bundle.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from muster.attest.private_files import read_private
from muster.kinds.digest import digest_of
from muster.kinds.errors import Unusable

_HINT = "a key is made by `muster keys init`, or by: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
_LARGEST_PUBLIC = 2_000


def new_private_key() -> bytes:
    """A fresh private key: unencrypted PKCS #8 PEM."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_signing_key(path: Path) -> bytes:
    """A private key's PEM from its file. Raises `Unusable` (missing, wrong kind) or `Refused` (open to others)."""
    pem = read_private(path)
    try:
        private_key(pem)
    except Unusable as error:
        raise Unusable(f"{path}: {error.message}", error.hint) from None
    return pem


def private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Parse a private key. Raises `Unusable` unless it is an EC P-256 key without a passphrase."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is dropped: a parser's message may quote what it read.
        raise Unusable("not a private key in PEM without a passphrase", _HINT) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Unusable("the private key is not on curve P-256", _HINT)
    return key


def public_key(pem: str) -> ec.EllipticCurvePublicKey:
    """Parse a public key. Raises `Unusable` unless it is an EC P-256 key."""
    try:
        key = load_pem_public_key(pem[:_LARGEST_PUBLIC].encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unusable("not a public key in PEM", _HINT) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Unusable("the public key is not on curve P-256", _HINT)
    return key


def public_pem(key: ec.EllipticCurvePublicKey) -> str:
    """The one PEM of a public key."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_half(private_pem: bytes) -> str:
    """The public PEM that belongs to a private key. Raises `Unusable`."""
    return public_pem(private_key(private_pem).public_key())


def key_id(pem: str) -> str:
    """The digest of a public key, however its PEM is wrapped. Raises `Unusable` unless it is an EC P-256 key."""
    return digest_of(public_pem(public_key(pem)).encode())

"""Keys, certificates and encodings that every authority of a Sigstore needs."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

YEARS = timedelta(days=3_650)


@dataclass(frozen=True)
class Wanted:
    """What a leaf certificate shall say. `lives` is how long it counts."""

    subject: x509.Name
    key: ec.EllipticCurvePublicKey
    lives: timedelta
    usage: ObjectIdentifier
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = ()


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def public_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half as a SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def signed(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """An ECDSA signature with SHA-256, in DER."""
    return key.sign(data, ec.ECDSA(SHA256()))


def sha256(data: bytes) -> bytes:
    """32 bytes."""
    return hashlib.sha256(data).digest()


def base64_text(data: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(data).decode()


def named(common_name: str) -> x509.Name:
    """A subject."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sigstore.example"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def root_certificate(common_name: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    """A certificate authority that signed itself."""
    return (
        x509.CertificateBuilder()
        .subject_name(named(common_name))
        .issuer_name(named(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )


def leaf_builder(
    root: x509.Certificate, root_key: ec.EllipticCurvePrivateKey, wanted: Wanted, now: datetime
) -> x509.CertificateBuilder:
    """A certificate below the root, ready to be signed with its key."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(wanted.subject)
        .issuer_name(root.subject)
        .public_key(wanted.key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + wanted.lives)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        # RFC 3161 wants it critical where it is the only one.
        .add_extension(
            x509.ExtendedKeyUsage([wanted.usage]), critical=wanted.usage == ExtendedKeyUsageOID.TIME_STAMPING
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(wanted.key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
    )
    for extension, critical in wanted.extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )

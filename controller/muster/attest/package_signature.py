"""Signatures that update clients verify: CMS over a package's description, and the certificate that goes to the device.

Both are functions of the key alone: ECDSA with the nonce of RFC 6979, no time of signing, a certificate without an end
(RFC 5280, 4.1.2.5), because a device's clock may stand at 1970. The device trusts exactly this certificate; a key is
replaced by giving devices another one.

Format: RFC 5652 SignedData, detached, with the signed attributes contentType and messageDigest.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from muster.attest.keys import key_id, private_key, public_pem
from muster.kinds.digest import hex_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_BEGINS: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ENDS: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_SERIAL_BYTES: Final = 16


def package_certificate(private_pem: bytes) -> bytes:
    """The self-signed certificate of a key, for code signing, in PEM. Raises `Unusable` for another kind of key."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return _certificate(private_pem).public_bytes(Encoding.PEM)


def sign_package(data: bytes, private_pem: bytes) -> bytes:
    """The detached CMS signature over `data`, in DER. Raises `Unusable` for another kind of key."""
    from asn1crypto import algos, cms, core
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = cms.Certificate.load(_certificate(private_pem).public_bytes(Encoding.DER))
    signed = cms.CMSAttributes(
        [
            cms.CMSAttribute({"type": "content_type", "values": [cms.ContentType("data")]}),
            cms.CMSAttribute({"type": "message_digest", "values": [core.OctetString(hashlib.sha256(data).digest())]}),
        ]
    )
    digest = algos.DigestAlgorithm({"algorithm": "sha256"})
    signature = private_key(private_pem).sign(signed.dump(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    signer = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                {
                    "issuer_and_serial_number": cms.IssuerAndSerialNumber(
                        {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
                    )
                }
            ),
            "digest_algorithm": digest,
            "signed_attrs": signed,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
            "signature": signature,
        }
    )
    content = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [digest],
            "encap_content_info": {"content_type": "data"},
            "certificates": [certificate],
            "signer_infos": [signer],
        }
    )
    made: bytes = cms.ContentInfo({"content_type": "signed_data", "content": content}).dump()
    return made


def _certificate(private_pem: bytes) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = private_key(private_pem)
    identity = hex_of(key_id(public_pem(key.public_key())))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"muster packages {identity[:16]}")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        # Positive, and never zero.
        .serial_number(int.from_bytes(b"\x01" + bytes.fromhex(identity)[:_SERIAL_BYTES]))
        .not_valid_before(_BEGINS)
        .not_valid_after(_ENDS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )

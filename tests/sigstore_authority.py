"""A whole Sigstore in memory: certificate authority, certificate log and transparency log, with their trusted root.

Everything is really signed; a test may ask for one part to lie.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from asn1crypto import algos, cms, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from muster.attest.log_entry import log_entry_type

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_LOG_ENTRY = "1.3.6.1.4.1.57264.3.1"
_ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_SCTS = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(SHA256()))


@dataclass
class Authority:
    """Makes gitsign signatures, and the trusted root that they are verified with."""

    ca_key: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    ct_key: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    log_key: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    logged_at: datetime = AT + timedelta(minutes=1)
    with_entry: bool = True

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "authority.example")])
        self.ca = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.ca_key.public_key())
            .serial_number(1)
            .not_valid_before(AT - timedelta(days=1))
            .not_valid_after(AT + timedelta(days=3_650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.ca_key.public_key()), critical=False)
            .sign(self.ca_key, SHA256())
        )

    def trusted_root(self) -> bytes:
        """The file that a base pins."""

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            return {
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _text(_der(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2025-01-01T00:00:00Z"},
                },
                "logId": {"keyId": _text(hashlib.sha256(_der(key)).digest())},
            }

        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.log_key)],
                "ctlogs": [log(self.ct_key)],
                "certificateAuthorities": [
                    {
                        "subject": {"organization": "authority.example", "commonName": "authority"},
                        "uri": "https://authority.example",
                        "certChain": {"certificates": [{"rawBytes": _text(self.ca.public_bytes(Encoding.DER))}]},
                        "validFor": {"start": "2025-01-01T00:00:00Z"},
                    }
                ],
                "timestampAuthorities": [],
            }
        ).encode()

    def signed(self, payload: bytes, identity: str, issuer: str, *, content: bytes | None = None) -> bytes:
        """What gitsign writes for a commit, with its log entry inside."""
        key = _key()
        certificate = self._certificate(key, identity, issuer)
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["data"]},
                {"type": "signing_time", "values": [cms.Time({"utc_time": AT})]},
                {"type": "message_digest", "values": [hashlib.sha256(payload).digest()]},
            ]
        )
        signature = _sign(key, attributes.dump())
        signer: dict[str, Any] = {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                "issuer_and_serial_number",
                {
                    "issuer": asn1_x509.Name.load(self.ca.subject.public_bytes()),
                    "serial_number": certificate.serial_number,
                },
            ),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": signature,
        }
        if self.with_entry:
            entry = self._entry(attributes.dump(), signature, certificate)
            signer["unsigned_attrs"] = [{"type": _LOG_ENTRY, "values": [core.Any(core.OctetString(entry))]}]
        data = cms.SignedData(
            {
                "version": "v1",
                "digest_algorithms": [algos.DigestAlgorithm({"algorithm": "sha256"})],
                "encap_content_info": {"content_type": "data", **({"content": content} if content else {})},
                "certificates": [asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))],
                "signer_infos": [signer],
            }
        )
        return armored(cms.ContentInfo({"content_type": "signed_data", "content": data}).dump())

    def _certificate(self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str) -> x509.Certificate:
        named = core.UTF8String(issuer).dump()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(AT)
            .not_valid_after(AT + timedelta(minutes=10))
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER, named), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.ca_key.public_key()), critical=False)
        )
        before = builder.sign(self.ca_key, SHA256()).tbs_certificate_bytes
        logged = x509.UnrecognizedExtension(_SCTS, core.OctetString(self._sct(before)).dump())
        return builder.add_extension(logged, critical=False).sign(self.ca_key, SHA256())

    def _sct(self, before: bytes) -> bytes:
        """A list with one signed certificate timestamp (RFC 6962), about the certificate without it."""
        milliseconds = int(AT.timestamp() * 1_000).to_bytes(8, "big")
        issuer = hashlib.sha256(_der(self.ca_key)).digest()
        entry = b"\0\0" + milliseconds + b"\0\1" + issuer + len(before).to_bytes(3, "big") + before + b"\0\0"
        signature = _sign(self.ct_key, entry)
        log = hashlib.sha256(_der(self.ct_key)).digest()
        sct = b"\0" + log + milliseconds + b"\0\0" + b"\4\3" + len(signature).to_bytes(2, "big") + signature
        return (len(sct) + 2).to_bytes(2, "big") + len(sct).to_bytes(2, "big") + sct

    def _entry(self, attributes: bytes, signature: bytes, certificate: x509.Certificate) -> bytes:
        """The only entry of the transparency log, without its body, as gitsign embeds it."""
        pem = certificate.public_bytes(Encoding.PEM)
        body = {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(attributes).hexdigest()}},
                "signature": {"content": _text(signature), "publicKey": {"content": _text(pem)}},
            },
        }
        encoded = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
        root = hashlib.sha256(b"\0" + encoded).digest()
        log = hashlib.sha256(_der(self.log_key)).digest()
        logged = int(self.logged_at.timestamp())
        promise = {"body": _text(encoded), "integratedTime": logged, "logID": log.hex(), "logIndex": 0}
        note = f"log.example - 1\n1\n{_text(root)}\n"
        stamp = _text(log[:4] + _sign(self.log_key, note.encode()))
        entry = log_entry_type()(
            log_id={"key_id": log},
            kind_version={"kind": "hashedrekord", "version": "0.0.1"},
            integrated_time=logged,
            inclusion_promise={
                "signed_entry_timestamp": _sign(
                    self.log_key, json.dumps(promise, separators=(",", ":"), sort_keys=True).encode()
                )
            },
            inclusion_proof={
                "root_hash": root,
                "tree_size": 1,
                "checkpoint": {"envelope": f"{note}\n\u2014 log.example {stamp}\n"},
            },
        )
        written: bytes = entry.SerializeToString()
        return written


def armored(message: bytes) -> bytes:
    """A signed message's text."""
    text = base64.b64encode(message)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([b"-----BEGIN SIGNED MESSAGE-----", *lines, b"-----END SIGNED MESSAGE-----", b""])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
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

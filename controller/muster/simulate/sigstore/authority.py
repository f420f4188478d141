"""Fulcio and its certificate log: an identity token and proof of a key go in, a certificate of ten minutes comes out.

Formats: extensions 1.3.6.1.4.1.57264.1.{1,8} name the issuer (sigstore/fulcio, oid-info.md); every certificate carries
a signed certificate timestamp over itself without it (RFC 6962, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from muster.simulate.sigstore.material import (
    Wanted,
    leaf_builder,
    new_key,
    public_der,
    root_certificate,
    sha256,
    signed,
)

LIVES: Final = timedelta(minutes=10)
_ISSUER: Final = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_FORMER_ISSUER: Final = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_TIMESTAMPS: Final = ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


class Authority:
    """A certificate authority with its certificate log."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.key, self.log_key = new_key(), new_key()
        self.certificate = root_certificate("authority", self.key, clock())
        self._clock = clock

    def certify(self, request: x509.CertificateSigningRequest, claims: Mapping[str, Any]) -> list[str]:
        """The certificate for whoever the verified claims name, then the authority's, in PEM.

        Raises `ValueError` if the request does not prove that its key is held.
        """
        key = request.public_key()
        if not request.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("the request does not prove that the key is held")
        email, issuer = claims.get("email"), str(claims["iss"])
        subject = x509.RFC822Name(email) if email else x509.UniformResourceIdentifier(str(claims["sub"]))
        wanted = Wanted(
            x509.Name([]),
            key,
            LIVES,
            ExtendedKeyUsageOID.CODE_SIGNING,
            (
                # Critical, as RFC 5280 wants it where the subject is empty.
                (x509.SubjectAlternativeName([subject]), True),
                (x509.UnrecognizedExtension(_ISSUER, core.UTF8String(issuer).dump()), False),
                (x509.UnrecognizedExtension(_FORMER_ISSUER, issuer.encode()), False),
            ),
        )
        now = self._clock()
        builder = leaf_builder(self.certificate, self.key, wanted, now)
        before = builder.sign(self.key, SHA256()).tbs_certificate_bytes
        logged = x509.UnrecognizedExtension(_TIMESTAMPS, core.OctetString(self._logged(before, now)).dump())
        leaf = builder.add_extension(logged, critical=False).sign(self.key, SHA256())
        return [one.public_bytes(Encoding.PEM).decode() for one in (leaf, self.certificate)]

    def _logged(self, before: bytes, now: datetime) -> bytes:
        """A list with one signed certificate timestamp."""
        milliseconds = int(now.timestamp() * 1_000).to_bytes(8, "big")
        about = sha256(public_der(self.key)) + len(before).to_bytes(3, "big") + before
        signature = signed(self.log_key, b"\0\0" + milliseconds + b"\0\1" + about + b"\0\0")
        stamp = (
            b"\0"
            + sha256(public_der(self.log_key))
            + milliseconds
            + b"\0\0\4\3"
            + len(signature).to_bytes(2, "big")
            + signature
        )
        return (len(stamp) + 2).to_bytes(2, "big") + len(stamp).to_bytes(2, "big") + stamp

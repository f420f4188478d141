"""A timestamp authority: RFC 3161 over DER, with ECDSA and SHA-256."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime

from asn1crypto import cms, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from muster.simulate.sigstore.material import (
    YEARS,
    Wanted,
    leaf_builder,
    named,
    new_key,
    root_certificate,
    sha256,
    signed,
)

_POLICY = "1.3.6.1.4.1.57264.2"
# By number: asn1crypto forgets the names that its module adds if a content type was named before that was imported.
_TIME_STAMP_INFO = "1.2.840.113549.1.9.16.1.4"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"


class TimestampAuthority:
    """`certificates` are its own and its root's."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock, self._key, root_key = clock, new_key(), new_key()
        root = root_certificate("timestamp root", root_key, clock())
        wanted = Wanted(named("timestamps"), self._key.public_key(), YEARS / 2, ExtendedKeyUsageOID.TIME_STAMPING)
        leaf = leaf_builder(root, root_key, wanted, clock()).sign(root_key, SHA256())
        self.certificates: tuple[x509.Certificate, ...] = (leaf, root)

    def answer(self, request: bytes) -> bytes:
        """A TimeStampResp for a TimeStampReq. Raises `ValueError` for bytes that are none."""
        query = tsp.TimeStampReq.load(request, strict=True)
        now = self._clock().replace(microsecond=0)
        info = tsp.TSTInfo(
            {
                "version": "v1",
                "policy": _POLICY,
                "message_imprint": query["message_imprint"],
                "serial_number": secrets.randbits(63),
                "gen_time": now,
                "nonce": query["nonce"].native,
            }
        )
        token = {"content_type": "signed_data", "content": self._signed_data(info.dump(), now)}
        data: bytes = tsp.TimeStampResp({"status": {"status": "granted"}, "time_stamp_token": token}).dump()
        return data

    def _signed_data(self, info: bytes, now: datetime) -> cms.SignedData:
        certificate = asn1_x509.Certificate.load(self.certificates[0].public_bytes(Encoding.DER))
        mine = tsp.SigningCertificateV2({"certs": [tsp.ESSCertIDv2({"cert_hash": sha256(certificate.dump())})]})
        values = {
            "content_type": _TIME_STAMP_INFO,
            "signing_time": cms.Time({"utc_time": now}),
            "message_digest": sha256(info),
            _SIGNING_CERTIFICATE: mine,
        }
        attributes = cms.CMSAttributes(
            [cms.CMSAttribute({"type": name, "values": [value]}) for name, value in values.items()]
        )
        signer = {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                {
                    "issuer_and_serial_number": {
                        "issuer": certificate.issuer,
                        "serial_number": certificate.serial_number,
                    }
                }
            ),
            "digest_algorithm": {"algorithm": "sha256"},
            "signed_attrs": attributes,
            "signature_algorithm": {"algorithm": "sha256_ecdsa"},
            "signature": signed(self._key, attributes.dump()),
        }
        return cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [{"algorithm": "sha256"}],
                "encap_content_info": {"content_type": _TIME_STAMP_INFO, "content": cms.ParsableOctetString(info)},
                "certificates": [certificate],
                "signer_infos": [signer],
            }
        )

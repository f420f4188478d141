"""gitsign signatures for commits: CMS with a certificate that lives ten minutes, and a transparency log entry.

Sigstore's own verifier decides: certificate chain and certificate log, inclusion in the transparency log, the time that
the log vouches for, the exact identity and issuer. Here stands only what brings a CMS message into its form, and the
two facts that it cannot know: that the signed attributes are about this commit, and that they are what was signed.
The trusted root is a file of the base; nothing is fetched. A signature without its log entry (gitsign's `rekorMode:
online`) cannot be verified without asking a server, and is unreadable.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from muster.attest.signers import TRUSTED_ROOT, Signers, signed_by
from muster.attest.sigstore_root import names, verifier_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.pull_request import CommitSignature
from muster.source.git_program import printable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from sigstore.models import Bundle
    from sigstore.verify import Verifier

_BEGIN: Final = b"-----BEGIN SIGNED MESSAGE-----"
_END: Final = b"-----END SIGNED MESSAGE-----"
_LOG_ENTRY: Final = "1.3.6.1.4.1.57264.3.1"
_BUNDLE: Final = "application/vnd.dev.sigstore.bundle+json;version=0.2"


class _UnreadableError(Exception):
    """The message is not what the format says, or cannot be verified here. The text is a reason for a person."""


@dataclass(frozen=True)
class _Message:
    """`attributes` is the DER that was signed: the signed attributes as a SET. `digest` is the payload's."""

    certificate: bytes
    attributes: bytes
    digest: bytes
    signature: bytes
    log_entry: bytes


def verify_gitsign(payload: bytes, armored: bytes, signers: Signers) -> CommitSignature:
    """Who signed `payload`. Never raises."""
    if signers.trusted_root is None:
        return CommitSignature("unreadable", "gitsign", reason=f"the base has no trusted root in {TRUSTED_ROOT}")
    try:
        message = _parse(armored)
        if message.digest != hashlib.sha256(payload).digest():
            return CommitSignature("bad", "gitsign", reason="the signature does not fit this commit")
        bundle = _bundle(message)
        verifier = _verifier(signers.trusted_root, bundle)
    except Refused as error:
        return CommitSignature("bad", "gitsign", reason=error.message)
    except _UnreadableError as error:
        return CommitSignature("unreadable", "gitsign", reason=str(error))
    except Exception:  # noqa: BLE001 - three libraries read hostile bytes here; each has its own errors
        return CommitSignature("unreadable", "gitsign", reason="the gitsign signature cannot be read")
    return _verify(verifier, bundle, message, signers)


def _parse(armored: bytes) -> _Message:
    from asn1crypto import cms

    lines = armored.strip().split(b"\n")
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise _UnreadableError("not a signed message")
    content = cms.ContentInfo.load(base64.b64decode(b"".join(lines[1:-1]), validate=True), strict=True)
    if content["content_type"].native != "signed_data":
        raise _UnreadableError("the message is not signed")
    data = content["content"]
    if len(data["signer_infos"]) != 1 or len(data["certificates"]) != 1:
        raise _UnreadableError("the message has not exactly one signer with one certificate")
    signer = data["signer_infos"][0]
    if signer["digest_algorithm"]["algorithm"].native != "sha256":
        raise _UnreadableError("the message uses another hash than sha256")
    if data["encap_content_info"]["content"].native is not None:
        raise _UnreadableError("the message carries a text of its own")
    signed = signer["signed_attrs"]
    return _Message(
        certificate=data["certificates"][0].dump(),
        attributes=signed.untag().dump(),
        digest=_only(signed, "message_digest").native,
        signature=signer["signature"].native,
        log_entry=_log_entry(signer["unsigned_attrs"]),
    )


def _only(attributes: Any, name: str) -> Any:
    """The single value of the single attribute of that name."""
    found = [attribute for attribute in attributes if attribute["type"].native == name]
    if len(found) != 1 or len(found[0]["values"]) != 1:
        raise _UnreadableError("an attribute of the message is missing, or stands there twice")
    return found[0]["values"][0]


def _log_entry(attributes: Any) -> bytes:
    from asn1crypto.core import OctetString

    if attributes.native is None or not any(attribute["type"].dotted == _LOG_ENTRY for attribute in attributes):
        raise _UnreadableError("no log entry in the signature: sign with gitsign.rekorMode=offline")
    name = next(attribute["type"].native for attribute in attributes if attribute["type"].dotted == _LOG_ENTRY)
    octets: bytes = OctetString.load(_only(attributes, name).dump(), strict=True).native
    return octets


def _bundle(message: _Message) -> Bundle:
    """What Sigstore's verifier reads. The entry's body is left out of the signature, being made of what is signed."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from sigstore.models import Bundle

    from muster.attest.log_entry import log_entry_json

    pem = x509.load_der_x509_certificate(message.certificate).public_bytes(Encoding.PEM)
    digest = hashlib.sha256(message.attributes)
    entry = log_entry_json(message.log_entry)
    body = {
        "apiVersion": "0.0.1",
        "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": digest.hexdigest()}},
            "signature": {"content": _text(message.signature), "publicKey": {"content": _text(pem)}},
        },
    }
    entry["canonicalizedBody"] = _text(json.dumps(body, separators=(",", ":"), sort_keys=True).encode())
    return Bundle.from_json(
        json.dumps(
            {
                "mediaType": _BUNDLE,
                "verificationMaterial": {
                    "x509CertificateChain": {"certificates": [{"rawBytes": _text(message.certificate)}]},
                    "tlogEntries": [entry],
                },
                "messageSignature": {
                    "messageDigest": {"algorithm": "SHA2_256", "digest": _text(digest.digest())},
                    "signature": _text(message.signature),
                },
            }
        )
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _verifier(trusted_root: bytes, bundle: Bundle) -> Verifier:
    try:
        return verifier_of(trusted_root, bundle)
    except Unusable as error:
        raise _UnreadableError(f"{TRUSTED_ROOT} of the base is not a Sigstore trusted root") from error


class _WhoIsNamed:
    """A policy of Sigstore's verifier that finds out whose certificate it is, by exact identity and issuer."""

    def __init__(self, signers: Signers) -> None:
        self.logins: frozenset[str] = frozenset()
        self._declared = signers.gitsign

    def verify(self, cert: Certificate) -> None:
        for (identity, issuer), logins in self._declared.items():
            if names(cert, identity, issuer):
                self.logins |= logins


def _verify(verifier: Verifier, bundle: Bundle, message: _Message, signers: Signers) -> CommitSignature:
    from sigstore.errors import VerificationError

    policy = _WhoIsNamed(signers)
    try:
        verifier.verify_artifact(message.attributes, bundle, policy)
    except VerificationError as error:
        reason = f"Sigstore does not accept the signature: {printable(str(error))[:200]}"
        return CommitSignature("bad", "gitsign", reason=reason)
    except Exception:  # noqa: BLE001 - a certificate or an entry that the verifier did not foresee
        return CommitSignature("unreadable", "gitsign", reason="the gitsign signature cannot be read")
    return signed_by(policy.logins, "gitsign", "the identity and issuer of its certificate")

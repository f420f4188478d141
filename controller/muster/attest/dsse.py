"""The envelope of everything that is signed here: DSSE in a sigstore bundle v0.3, one file of JSON, one EC P-256 key.

Rules: the signature is checked before the payload is parsed; a key counts only if the caller trusts it; a key that
stands twice in an object, and anything too large or too deep, is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from muster.attest.keys import key_id, private_key, public_half, public_key
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused

MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
LARGEST: Final = 1024 * 1024
"""Largest bundle, and largest payload, that is read, in bytes."""

SignPayload = Callable[[bytes], bytes]
"""Whatever turns an in-toto statement into a bundle around it, such as a `KeylessSigner`."""

Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class UntrustedKey(Refused):
    """A bundle names a key that the caller does not trust: `key_id`, `sha256:<hex>`."""

    def __init__(self, key_id: str, hint: str) -> None:
        super().__init__(f"signed by a key that is not trusted: {key_id}", hint)
        self.key_id = key_id


class _Twice(ValueError):
    """An object of JSON names something twice: readers differ in which of the two they believe."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel)


class _Hint(_Part):
    hint: Hex


class _Material(_Part):
    public_key: _Hint


class _Signature(_Part):
    sig: str


class _Envelope(_Part):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=1)]


class _Bundle(_Part):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: _Material
    dsse_envelope: _Envelope


_AnyPart = TypeVar("_AnyPart", bound=BaseModel)


def sign_payload(payload: bytes, signer: bytes | SignPayload) -> bytes:
    """The bundle around an in-toto statement. With a private key (PEM), the same input gives the same bytes.

    Raises `Unusable` for anything but an EC P-256 key, and whatever another signer raises.
    """
    if not isinstance(signer, bytes):
        return signer(payload)
    # RFC 6979: no random number that could leak the key, and a repeated build signs the same.
    signature = private_key(signer).sign(_authenticated(payload), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return encode_bundle(payload, signature, key_id(public_half(signer)))


def encode_bundle(payload: bytes, signature: bytes, signer: str) -> bytes:
    """The only spelling of a bundle that we write; `signer` is the id of the key."""
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hex_of(signer)}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return canonical_json(bundle)


def open_bundle(data: bytes, trusted: Mapping[str, str], hint: str) -> tuple[bytes, str]:
    """The signed payload, and the id of the key that signed it, which is one of `trusted` {key id: public PEM}.

    Raises `UntrustedKey`, or `Refused` with `hint` if this is no bundle or its signature does not hold.
    """
    bundle = read_part(_Bundle, data, "signature", hint)
    signer = f"sha256:{bundle.verification_material.public_key.hint}"
    if signer not in trusted:
        raise UntrustedKey(signer, hint)
    envelope = bundle.dsse_envelope
    payload = _base64(envelope.payload, hint)
    try:
        public_key(trusted[signer]).verify(
            _base64(envelope.signatures[0].sig, hint), _authenticated(payload), ec.ECDSA(hashes.SHA256())
        )
    except InvalidSignature as error:
        raise Refused(f"the signature does not hold for key {signer}", hint) from error
    return payload, signer


def read_part(part: type[_AnyPart], data: bytes, what: str, hint: str) -> _AnyPart:
    """Parse JSON bytes as `part`. Raises `Refused` with `hint`: too large, no plain JSON, or of another shape."""
    if len(data) > LARGEST:
        raise Refused(f"the {what} has {len(data)} bytes, more than {LARGEST}", hint)
    try:
        return part.model_validate(json.loads(data.decode(), object_pairs_hook=_no_duplicates))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise Refused(f"not a {what}: {place}: {first['msg']}", hint) from error
    except (ValueError, RecursionError) as error:
        why = f": {error}" if isinstance(error, _Twice) else ""
        raise Refused(f"not a {what}: it is not plain JSON{why}", hint) from error


def _authenticated(payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Twice("a key stands twice")
    return value


def _base64(text: str, hint: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("not a signature: it holds broken base64", hint) from error

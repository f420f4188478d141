"""Signatures over an artifact's files in the OpenSSF Model Signing format, v1.0.

One JSON file: a sigstore bundle v0.3 with a DSSE envelope around an in-toto statement that lists every file by name
and sha256. Written here rather than taken from `model_signing`, because a device must not carry sigstore; the tests
hold both against each other.

Rules: the signature is checked before the statement is parsed; a key counts only if the caller trusts it; names are
bound and no path is ignored; the files must be the signed ones, all of them and no other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
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
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
LARGEST: Final = 1024 * 1024
"""Largest signature that is read, in bytes."""

_UNSIGNED = "build and sign the artifact again"
_Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel)


class _Hint(_Part):
    hint: _Hex


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


class _Snake(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _SubjectDigest(_Snake):
    sha256: _Hex


class _Subject(_Snake):
    name: str
    digest: _SubjectDigest


class _Resource(_Snake):
    name: str
    algorithm: Literal["sha256"]
    digest: _Hex


class _Serialization(_Snake):
    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: Literal[False]
    # A verifier that honours this list would not see a file added there.
    ignore_paths: Annotated[list[str], Field(max_length=0)] = []


class _Predicate(_Snake):
    serialization: _Serialization
    resources: list[_Resource]


class _Statement(_Snake):
    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[Literal["https://model_signing/signature/v1.0"], Field(alias="predicateType")]
    predicate: _Predicate


_AnyPart = TypeVar("_AnyPart", bound=BaseModel)


def sign_files(files: Mapping[str, str], private_key_pem: bytes) -> bytes:
    """Sign files, given as {name: "sha256:<hex>"}; names are relative, with `/`. The same input gives the same bytes.

    Raises `Refused` for no files or a name that leaves its folder, `Unusable` for anything but an EC P-256 key.
    """
    resources = [
        {"name": name, "algorithm": "sha256", "digest": hex_of(files[name])}
        for name in sorted(files, key=lambda name: name.split("/"))
    ]
    for resource in resources:
        _refuse_name(resource["name"])
    if not resources:
        raise Refused("there is no file to sign")
    payload = canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": "artifact", "digest": {"sha256": _root([item["digest"] for item in resources])}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
                "resources": resources,
            },
        }
    )
    # RFC 6979: no random number that could leak the key, and a repeated build signs the same.
    signature = private_key(private_key_pem).sign(
        _authenticated(payload), ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    )
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": hex_of(key_id(public_half(private_key_pem)))},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return canonical_json(bundle)


def verify_files(files: Mapping[str, str], signature: bytes, public_keys_pem: Sequence[str]) -> str:
    """Verify that a trusted key signed exactly these files, given as {name: "sha256:<hex>"}.

    Returns the id of the key that signed, `sha256:<hex>`. Raises `Refused` if the signature is missing, too large or
    not in the format, if its key is not trusted, or if a file is changed, renamed, missing or added; `Unusable` if a
    trusted key is no EC P-256 key.
    """
    bundle = _parse(_Bundle, signature, "signature")
    signer = f"sha256:{bundle.verification_material.public_key.hint}"
    trusted = {key_id(pem): pem for pem in public_keys_pem}
    if signer not in trusted:
        raise Refused(
            f"the artifact is signed by a key that is not trusted: {signer}",
            f"trusted: {', '.join(sorted(trusted)) or 'none'}; declare a key under policies/keys/",
        )
    envelope = bundle.dsse_envelope
    payload = _base64(envelope.payload)
    try:
        public_key(trusted[signer]).verify(
            _base64(envelope.signatures[0].sig), _authenticated(payload), ec.ECDSA(hashes.SHA256())
        )
    except InvalidSignature as error:
        raise Refused(f"the signature does not hold for key {signer}", _UNSIGNED) from error
    _compare(_signed_files(_parse(_Statement, payload, "signed statement")), files)
    return signer


def _signed_files(statement: _Statement) -> dict[str, str]:
    resources = statement.predicate.resources
    if _root([resource.digest for resource in resources]) != statement.subject[0].digest.sha256:
        raise Refused("the signed statement contradicts itself: its root digest is not that of its files", _UNSIGNED)
    signed = {resource.name: f"sha256:{resource.digest}" for resource in resources}
    if len(signed) != len(resources):
        raise Refused("the signed statement names a file twice", _UNSIGNED)
    return signed


def _compare(signed: Mapping[str, str], found: Mapping[str, str]) -> None:
    missing = sorted(signed.keys() - found.keys())
    added = sorted(found.keys() - signed.keys())
    changed = sorted(name for name in signed.keys() & found.keys() if signed[name] != found[name])
    differences = []
    for name in list(missing):
        twin = next((other for other in added if found[other] == signed[name]), None)
        if twin is not None:
            missing.remove(name)
            added.remove(twin)
            differences.append(f"renamed: {name!r} to {twin!r}")
    differences += [f"changed: {name!r}" for name in changed]
    differences += [f"missing: {name!r}" for name in missing]
    differences += [f"added: {name!r}" for name in added]
    if differences:
        more = f" and {len(differences) - 8} more" if len(differences) > 8 else ""
        raise Refused(f"the files are not the signed ones: {'; '.join(differences[:8])}{more}", _UNSIGNED)


def _root(digests: Sequence[str]) -> str:
    """The subject's digest: sha256 over the files' raw digests, in the order of the resources."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def _authenticated(payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _parse(part: type[_AnyPart], data: bytes, what: str) -> _AnyPart:
    if not data:
        raise Refused("the artifact is not signed", _UNSIGNED)
    if len(data) > LARGEST:
        raise Refused(f"the {what} has {len(data)} bytes, more than {LARGEST}", _UNSIGNED)
    try:
        value = json.loads(data.decode(), object_pairs_hook=_no_duplicates)
        return part.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise Refused(f"not a {what}: {place}: {first['msg']}", _hint(place)) from error
    except (ValueError, RecursionError) as error:
        raise Refused(f"not a {what}: it is not plain JSON", _UNSIGNED) from error


def _hint(place: str) -> str:
    return "sign with --no-ignore-git-paths" if place.startswith("predicate.serialization.ignore_paths") else _UNSIGNED


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice")
    return value


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("not a signature: it holds broken base64", _UNSIGNED) from error


def _refuse_name(name: str) -> None:
    path = PurePosixPath(name)
    if str(path) != name or path.is_absolute() or ".." in path.parts or name == "." or not name.isprintable():
        raise Refused(f"{name!r} is no name of a file inside a folder", "use relative names with / between folders")

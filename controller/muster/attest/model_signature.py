"""Signatures over an artifact's files in the OpenSSF Model Signing format, v1.0.

One JSON file: a sigstore bundle v0.3 with a DSSE envelope around an in-toto statement that lists every file by name
and sha256. Written here rather than taken from `model_signing`, because a device must not carry sigstore; the tests
hold both against each other.

Rules: the signature is checked before the statement is parsed; a key counts only if the caller trusts it; names are
bound and no path is ignored; the files must be the signed ones, all of them and no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from muster.attest.dsse import (
    LARGEST,
    PAYLOAD_TYPE,
    STATEMENT_TYPE,
    Hex,
    SignPayload,
    UntrustedKey,
    open_bundle,
    read_part,
    sign_payload,
)
from muster.attest.keys import key_id
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused

__all__ = ["LARGEST", "PAYLOAD_TYPE", "PREDICATE_TYPE", "compare_signed", "sign_files", "verify_files"]

PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"

_UNSIGNED = "build and sign the artifact again"


class _Snake(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _SubjectDigest(_Snake):
    sha256: Hex


class _Subject(_Snake):
    name: str
    digest: _SubjectDigest


class _Resource(_Snake):
    name: str
    algorithm: Literal["sha256"]
    digest: Hex


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


def sign_files(files: Mapping[str, str], signer: bytes | SignPayload) -> bytes:
    """Sign files, given as {name: "sha256:<hex>"}; names are relative, with `/`.

    With a private key (PEM) the same input gives the same bytes. Raises `Refused` for no files or a name that leaves
    its folder, `Unusable` for anything but an EC P-256 key, and whatever another signer raises.
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
    return sign_payload(payload, signer)


def verify_files(files: Mapping[str, str], signature: bytes, public_keys_pem: Sequence[str]) -> str:
    """Verify that a trusted key signed exactly these files, given as {name: "sha256:<hex>"}.

    Returns the id of the key that signed, `sha256:<hex>`. Raises `Refused` if the signature is missing, too large or
    not in the format, if its key is not trusted, or if a file is changed, renamed, missing or added; `Unusable` if a
    trusted key is no EC P-256 key.
    """
    if not signature:
        raise Refused("the artifact is not signed", _UNSIGNED)
    trusted = {key_id(pem): pem for pem in public_keys_pem}
    try:
        payload, signer = open_bundle(signature, trusted, _UNSIGNED)
    except UntrustedKey as error:
        raise Refused(
            f"the artifact is signed by a key that is not trusted: {error.key_id}",
            f"trusted: {', '.join(sorted(trusted)) or 'none'}; declare a key under policies/keys/",
        ) from error
    compare_signed(payload, files)
    return signer


def compare_signed(payload: bytes, files: Mapping[str, str]) -> None:
    """Refuse a verified payload that is not about exactly these files. Raises `Refused` with what differs."""
    _compare(_signed_files(_read_statement(payload)), files)


def _read_statement(payload: bytes) -> _Statement:
    try:
        return read_part(_Statement, payload, "signed statement", _UNSIGNED)
    except Refused as error:
        if "predicate.serialization.ignore_paths" in error.message:
            raise Refused(error.message, "sign with --no-ignore-git-paths") from error
        raise


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


def _refuse_name(name: str) -> None:
    path = PurePosixPath(name)
    if str(path) != name or path.is_absolute() or ".." in path.parts or name == "." or not name.isprintable():
        raise Refused(f"{name!r} is no name of a file inside a folder", "use relative names with / between folders")

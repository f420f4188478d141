"""Evidence files: signing an in-toto statement about artifacts, and reading one that somebody else may have written.

Rules: what is read is hostile until a trusted key vouches for it, and its values stay so; a file that is not to be
believed is a value with its problem, never an exception; a file counts only in the folder of an artifact of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from muster.attest.dsse import (
    STATEMENT_TYPE,
    Hex,
    SignPayload,
    UntrustedKey,
    open_bundle,
    read_part,
    sign_payload,
)
from muster.attest.keyless import NOBODY, Keyless, UntrustedIdentity, is_keyless, open_keyless
from muster.attest.keys import key_id
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.evidence import ADMISSION, LARGEST, MEASUREMENT, PROVENANCE, REBUILD, REHEARSAL, Evidence
from muster.kinds.signing_key import SigningKey
from muster.source.git_program import printable

DEEPEST: Final = 32
"""How many objects and lists may stand inside each other."""

_AGAIN = "make it again with: muster evidence"
_FILE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PLACE = re.compile(r"(?:.*/)?evidence/([0-9a-f]{64})/[^/]+\.json", re.DOTALL)
_UTC = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|\+00:00)")
_MADE_AT: Mapping[str, tuple[str, ...]] = {
    MEASUREMENT: ("measuredAt",),
    REBUILD: ("rebuiltAt",),
    REHEARSAL: ("rehearsedAt",),
    ADMISSION: ("timeCreated",),
    PROVENANCE: ("runDetails", "metadata", "finishedOn"),
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _DigestSet(_Part):
    """Other algorithms may stand beside it; this one is the artifact's."""

    sha256: Hex


class _Subject(_Part):
    digest: _DigestSet


class SignedStatement(_Part):
    """An in-toto Statement v1 about artifacts, whose signature somebody else checked."""

    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=64)]
    predicate_type: Annotated[
        str, StringConstraints(pattern=r"^[!-~]+$", min_length=1, max_length=256), Field(alias="predicateType")
    ]
    predicate: dict[str, Any]

    @property
    def subjects(self) -> tuple[str, ...]:
        """Digests of what it is about."""
        return tuple(f"sha256:{subject.digest.sha256}" for subject in self.subject)


def evidence_path(artifact: str, name: str) -> str:
    """Where evidence about an artifact's digest stands in a repository. Raises `Unusable` for a bad name."""
    if not _FILE_NAME.fullmatch(name):
        raise Unusable(
            f"{name!r} is no name of an evidence file", "write lower-case letters, digits and inner hyphens, 63 at most"
        )
    return f"evidence/{hex_of(artifact)}/{name}.json"


def evidence_file(folder: Path, path: str) -> Path:
    """Where that path of a repository stands in its work tree `folder`. Raises `Refused` if it leads out of it."""
    target = folder / path
    if not target.resolve().is_relative_to(folder.resolve()):
        raise Refused(f"{target} leads out of the repository", "remove the symbolic link")
    return target


def free_evidence_file(folder: Path, path: str, hint: str) -> Path:
    """As `evidence_file`, for evidence that is never replaced. Raises `Refused` with the hint if it is there."""
    target = evidence_file(folder, path)
    if target.exists():
        raise Refused(f"{target} is there already, and stays", hint)
    return target


def sign_evidence(
    subjects: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any], signer: bytes | SignPayload
) -> bytes:
    """The file for a statement about `subjects` {name: artifact digest}.

    With a private key (PEM) the same input gives the same bytes. Raises `Unusable` for anything but an EC P-256 key,
    `Refused` for no subject or more than 1 MiB, and whatever another signer raises.
    """
    if not subjects:
        raise Refused("evidence is about no artifact", "name the digest of one")
    signed = sign_payload(statement_payload(subjects, predicate_type, predicate), signer) + b"\n"
    if len(signed) > LARGEST:
        raise Refused(f"the evidence has {len(signed)} bytes, more than {LARGEST}", "say less in one file")
    return signed


def statement_payload(subjects: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any]) -> bytes:
    """What is signed: an in-toto Statement v1 about `subjects` {name: digest}, in its one spelling."""
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": hex_of(subjects[name])}} for name in sorted(subjects)],
            "predicateType": predicate_type,
            "predicate": dict(predicate),
        }
    )


def read_statement(payload: bytes) -> SignedStatement:
    """The statement in a payload whose signature holds. Raises `Refused` for another shape, and for odd values."""
    statement = read_part(SignedStatement, payload, "statement", _AGAIN)
    _refuse_odd(statement.predicate)
    return statement


def read_evidence(path: str, data: bytes, keys: Sequence[SigningKey], keyless: Keyless = NOBODY) -> Evidence:
    """What the bytes at `path` (`evidence/<hex>/<name>.json`) claim, and whether somebody trusted vouches for it.

    Of `keys` and the identities of `keyless`, only those with use `evidence` count. Never raises for what `path` and
    `data` hold, and asks no server.
    """
    trusted = _trusted(keys)
    certified = replace(keyless, identities=[one for one in keyless.identities if "evidence" in one.spec.uses])
    try:
        if is_keyless(data):
            payload, signer = open_keyless(data, certified, _AGAIN)
        else:
            payload, signer = open_bundle(data, {key: pem for key, (_, pem) in trusted.items()}, _AGAIN)
            signer = trusted[signer][0]
        statement = read_statement(payload)
    except UntrustedIdentity as error:
        return _unbelieved(path, "foreign", f"{error.message}; trusted for evidence: {certified.names}")
    except UntrustedKey as error:
        names = ", ".join(sorted(name for name, _ in trusted.values())) or "none"
        return _unbelieved(path, "foreign", f"{error.message}; trusted for evidence: {names}")
    except Refused as error:
        return _unbelieved(path, "broken", error.message)
    found = Evidence(
        path=path,
        subjects=statement.subjects,
        predicate_type=statement.predicate_type,
        predicate=statement.predicate,
        made_at=_made_at(statement.predicate_type, statement.predicate),
        signer=signer,
    )
    return _in_place(found)


def _in_place(found: Evidence) -> Evidence:
    """Evidence is about the artifact whose folder it stands in, or it is evidence for something else."""
    place = _PLACE.fullmatch(found.path)
    if place is None:
        problem = "it does not stand in evidence/<digest of an artifact>/"
    elif f"sha256:{place[1]}" not in found.subjects:
        problem = f"it is about {', '.join(found.subjects[:4])}, not about the artifact in whose folder it stands"
    else:
        return found
    return Evidence(
        found.path,
        found.subjects,
        found.predicate_type,
        found.predicate,
        found.made_at,
        found.signer,
        problem,
        "other-artifact",
    )


def _unbelieved(path: str, kind: Literal["foreign", "broken"], problem: str) -> Evidence:
    return Evidence(path, (), "", None, None, None, printable(problem)[:1_000], kind)


def _trusted(keys: Sequence[SigningKey]) -> dict[str, tuple[str, str]]:
    """{key id: (name, public PEM)} of the keys that may sign evidence. One that is no P-256 key signs nothing."""
    found: dict[str, tuple[str, str]] = {}
    for key in keys:
        if "evidence" in key.spec.uses:
            try:
                found.setdefault(key_id(key.spec.public_key), (key.metadata.name, key.spec.public_key))
            except Unusable:
                continue
    return found


def _refuse_odd(value: Any, depth: int = 0) -> None:
    """JSON that Python reads and others do not, or that would harm whoever shows it. Raises `Refused`."""
    if depth > DEEPEST:
        raise Refused(f"the predicate is more than {DEEPEST} levels deep", _AGAIN)
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_odd(key, depth + 1)
            _refuse_odd(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _refuse_odd(item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise Refused("the predicate holds a number that is not finite", _AGAIN)
    elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Refused("the predicate holds text that is not Unicode", _AGAIN)


def _made_at(predicate_type: str, predicate: Any) -> datetime | None:
    """When the statement says that it came about; None if it does not say so in ISO 8601 and UTC."""
    value = predicate
    for step in _MADE_AT.get(predicate_type, ("",)):
        value = value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, str) or not _UTC.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError:
        return None

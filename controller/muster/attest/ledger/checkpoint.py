"""Checkpoints: what the controller says of its ledger at a moment, signed with the key that signs artifacts.

An in-toto statement about the digest of the newest event. Its predicate says which checkpoint it is, how many events
there are, when that was, which checkpoint came before, and which segment it adds. Each names the digest of the one
before, so that they are a chain of their own: two that follow the same one are a fork, and both are signed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from muster.attest.dsse import STATEMENT_TYPE, Hex, encode_bundle, open_bundle, read_part, sign_payload
from muster.attest.ledger.segment import GENESIS
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import Digest, digest_of, hex_of
from muster.kinds.errors import Refused
from muster.kinds.moment import utc_text

PREDICATE_TYPE: Final = "muster:ledger-checkpoint/v1"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
_HINT = "compare with another clone: git fetch origin 'refs/muster/*:refs/muster/*'"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint. `digest` is that of its file, `key` the id of the key that signed it."""

    number: int
    length: int
    head: str
    at: datetime
    previous: str
    first: int
    segment: str
    digest: str
    key: str


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _Sha256(_Part):
    sha256: Hex


class _Subject(_Part):
    name: Literal["ledger"]
    digest: _Sha256


class _Predicate(_Part):
    number: Annotated[int, Field(ge=1, le=999_999_999)]
    length: Annotated[int, Field(ge=1, le=2**53 - 1)]
    first: Annotated[int, Field(ge=1, le=2**53 - 1)]
    at: Annotated[str, Field(pattern=_TIME)]
    previous: Digest
    segment: Digest


class _Statement(_Part):
    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[Literal["muster:ledger-checkpoint/v1"], Field(alias="predicateType")]
    predicate: _Predicate


def sign_checkpoint(
    before: Checkpoint | None, segment: bytes, head: tuple[int, str], at: datetime, private_key_pem: bytes
) -> bytes:
    """The file of the checkpoint after `before` that adds a segment; `head` is (length, digest of the newest event).

    The same input gives the same bytes. Raises `Unusable` for a key that is none of ours.
    """
    length, digest = head
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "ledger", "digest": {"sha256": hex_of(digest)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "number": before.number + 1 if before else 1,
            "length": length,
            "first": before.length + 1 if before else 1,
            "at": utc_text(at),
            "previous": before.digest if before else GENESIS,
            "segment": digest_of(segment),
        },
    }
    return sign_payload(canonical_json(statement), private_key_pem) + b"\n"


def open_checkpoint(data: bytes, trusted: Mapping[str, str]) -> Checkpoint:
    """The checkpoint in a file, once one of `trusted` {key id: public PEM} vouches for it.

    Raises `UntrustedKey`, or `Refused` if this is none or its signature does not hold.
    """
    payload, signer = open_bundle(data, trusted, _HINT)
    signature = json.loads(data)["dsseEnvelope"]["signatures"][0]["sig"]
    if encode_bundle(payload, base64.b64decode(signature), signer) + b"\n" != data:
        # No other file names the newest one by its digest: it must not have a second spelling.
        raise Refused("not a checkpoint: it is not spelled as one", _HINT)
    statement = read_part(_Statement, payload, "checkpoint", _HINT)
    said = statement.predicate
    try:
        at = datetime.fromisoformat(said.at)
    except ValueError as error:
        raise Refused(f"not a checkpoint: {said.at} is no moment", _HINT) from error
    return Checkpoint(
        number=said.number,
        length=said.length,
        head=f"sha256:{statement.subject[0].digest.sha256}",
        at=at,
        previous=said.previous,
        first=said.first,
        segment=said.segment,
        digest=digest_of(data),
        key=signer,
    )

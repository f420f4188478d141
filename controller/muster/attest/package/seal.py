"""The seal: one signed statement about every other member of a package, name by name and byte by byte.

Format: an in-toto Statement v1 whose subjects are the members and their digests, in a DSSE envelope. Verified are: the
envelope's signature by a key of the trust root, its only spelling (so that no byte of it can change unseen), type and
predicate type, and that subjects and members are the same set with the same digests.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from muster.attest.dsse import STATEMENT_TYPE, Hex, encode_bundle, open_bundle, read_part, sign_payload
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.errors import Refused

SEAL: Final = "seal.json"
"""The member that holds the seal."""
PREDICATE_TYPE: Final = "muster:evidence-package/v1"

_HINT = "export the package again, or give the trust root that it was sealed for"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _DigestSet(_Strict):
    sha256: Hex


class _Subject(_Strict):
    name: str
    digest: _DigestSet


class _Statement(_Strict):
    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=3_000)]
    predicate_type: Annotated[Literal["muster:evidence-package/v1"], Field(alias="predicateType")]
    predicate: dict[str, Any]


def seal(members: Mapping[str, bytes], about: Mapping[str, Any], private_key_pem: bytes) -> bytes:
    """The seal over members; `about` is the package's own description. The same input gives the same bytes."""
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": hex_of(digest_of(members[name]))}}
            for name in sorted(members)
            if name != SEAL
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": dict(about),
    }
    return sign_payload(canonical_json(statement), private_key_pem)


def unseal(members: Mapping[str, bytes], trusted: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """What the seal says of the package, and the id of the key that made it. Raises `Refused` for anything amiss."""
    data = members.get(SEAL)
    if data is None:
        raise Refused("the package has no seal", _HINT)
    payload, signer = open_bundle(data, trusted, _HINT)
    envelope = json.loads(data)["dsseEnvelope"]
    if encode_bundle(payload, base64.b64decode(envelope["signatures"][0]["sig"]), signer) != data:
        raise Refused("the seal is spelled otherwise than a seal is", _HINT)
    statement = read_part(_Statement, payload, "seal", _HINT)
    named = {subject.name: f"sha256:{subject.digest.sha256}" for subject in statement.subject}
    found = {name: digest_of(content) for name, content in members.items() if name != SEAL}
    for name in sorted(named.keys() | found.keys()):
        if named.get(name) != found.get(name):
            what = "is missing" if name not in found else "was added" if name not in named else "was altered"
            raise Refused(f"{name} {what} after the package was sealed", _HINT)
    return statement.predicate, signer

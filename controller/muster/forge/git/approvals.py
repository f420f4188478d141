"""Approvals without a forge: one signed line each, in a note on the commit that is approved.

A line is a DSSE bundle around an in-toto statement {subject: the commit; predicate: of, by, at}. It counts if one of
that very person's approval keys signed it, it names this commit, and the key is declared for approvals on the base. One
line each, because git merges notes line by line (`cat_sort_uniq`). Lines that do not count are passed over: anybody who
may push may write some.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from muster.attest.dsse import STATEMENT_TYPE, open_bundle, read_part, sign_payload
from muster.attest.keys import key_id, public_half
from muster.forge.git.notes import APPROVALS, append_note, read_note
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import Commit
from muster.kinds.errors import Refused, Unusable
from muster.kinds.owners import Login, Owners
from muster.kinds.pull_request import Approval, PullRequest
from muster.kinds.signing_key import SigningKey
from muster.source.git import Repository
from muster.source.git_program import printable

PREDICATE_TYPE: Final = "muster:approval/v1"
MOST_LINES: Final = 500
LONGEST_LINE: Final = 8_192

_OF = re.compile(r"|[a-z]{1,20}/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
_HINT = "approve again with: muster approve"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _GitCommit(_Part):
    commit: Annotated[Commit, Field(alias="gitCommit")]


class _Subject(_Part):
    digest: _GitCommit


class _Predicate(_Part):
    of: Annotated[str, StringConstraints(max_length=100)]
    by: Login
    at: Annotated[str, StringConstraints(pattern=_TIME)]


class _Statement(_Part):
    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[Literal["muster:approval/v1"], Field(alias="predicateType")]
    predicate: _Predicate


def approve(repository: Repository, approval: Approval, private_key_pem: bytes) -> None:
    """Sign an approval and write it into the note on its commit.

    Raises `Unusable` for a bad `of` or key, `TryAgain` if the notes are locked.
    """
    if not _OF.fullmatch(approval.of):
        raise Unusable(
            f"not something to approve: {printable(approval.of)[:100]!r}",
            "leave it out for the change, or write checklist/<item> or freeze/<name>",
        )
    at = approval.at.astimezone(UTC).replace(microsecond=0)
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"digest": {"gitCommit": approval.commit}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"of": approval.of, "by": approval.by, "at": at.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }
    line = sign_payload(canonical_json(statement), private_key_pem).decode()
    append_note(repository, APPROVALS, approval.commit, line + "\n", at)


def signed_approvals(
    repository: Repository, commit: str, owners: Owners | None, keys: Sequence[SigningKey]
) -> tuple[Approval, ...]:
    """The approvals of a commit that one of its people signed. `owners` and `keys` are those of the base.

    Each person and `of` counts once, with the first time. Raises `Refused` if the note is too large to be read.
    """
    return () if owners is None else approvals_in(read_note(repository, APPROVALS, commit), commit, owners, keys)


def approvals_in(note: str, commit: str, owners: Owners | None, keys: Sequence[SigningKey]) -> tuple[Approval, ...]:
    """The approvals of a commit in the text of its note. Raises `Refused` if the note is too large to be read."""
    if owners is None:
        return ()
    people = _people_by_key(owners, keys)
    trusted = {key: pem for key, (_, pem) in people.items()}
    found: dict[tuple[str, str], Approval] = {}
    for line in _lines(note):
        try:
            payload, signer = open_bundle(line, trusted, _HINT)
            statement = read_part(_Statement, payload, "approval", _HINT)
            approval = _approval(statement)
        except (Refused, ValueError):
            continue
        if approval.commit == commit and approval.by.casefold() == people[signer][0].casefold():
            former = found.setdefault((people[signer][0], approval.of), approval)
            if approval.at < former.at:
                found[people[signer][0], approval.of] = approval
    return tuple(found[key] for key in sorted(found))


def with_signed(
    request: PullRequest, repository: Repository, owners: Owners | None, keys: Sequence[SigningKey]
) -> PullRequest:
    """The pull request of any forge with the signed approvals of its head beside those that the forge told.

    A forge's reviews approve a change as a whole; one checklist item or one freeze is approved by signature. The author
    never counts. Raises `Refused` if the note is too large to be read.
    """
    author = (request.author or "").casefold()
    told = {(approval.by.casefold(), approval.commit, approval.of) for approval in request.approvals}
    signed = tuple(
        approval
        for approval in signed_approvals(repository, request.head, owners, keys)
        if approval.by.casefold() != author and (approval.by.casefold(), approval.commit, approval.of) not in told
    )
    return replace(request, approvals=(*request.approvals, *signed))


def signer_of(private_key_pem: bytes, owners: Owners | None, keys: Sequence[SigningKey]) -> str:
    """The login whose approval key this is. Raises `Refused` if it is nobody's."""
    people = _people_by_key(owners, keys) if owners else {}
    found = people.get(key_id(public_half(private_key_pem)))
    if found is None:
        raise Refused(
            "this key is nobody's approval key",
            "declare it as policies/keys/NAME.yaml with uses: [approvals], and name it in policies/owners.yaml",
        )
    return found[0]


def _people_by_key(owners: Owners, keys: Sequence[SigningKey]) -> dict[str, tuple[str, str]]:
    """{key id: (login, public PEM)}. A key that two people claim is nobody's, or one would approve for the other."""
    declared = {key.metadata.name: key.spec.public_key for key in keys if "approvals" in key.spec.uses}
    found: dict[str, tuple[str, str]] = {}
    shared: set[str] = set()
    for person in owners.spec.people:
        for name in person.approval_keys:
            try:
                number = key_id(declared[name])
            except (KeyError, Unusable):
                continue
            if number in found and found[number][0] != person.login:
                shared.add(number)
            found[number] = (person.login, declared[name])
    return {number: who for number, who in found.items() if number not in shared}


def _lines(note: str) -> Iterator[bytes]:
    lines = [line for line in note.split("\n") if line.strip()]
    if len(lines) > MOST_LINES:
        raise Refused(
            f"the note with approvals has more than {MOST_LINES} lines", f"see git notes --ref={APPROVALS} show"
        )
    for line in lines:
        data = line.encode(errors="replace")
        if len(data) <= LONGEST_LINE:
            yield data


def _approval(statement: _Statement) -> Approval:
    """Raises `ValueError` if its words are none of ours."""
    said = statement.predicate
    if not _OF.fullmatch(said.of):
        raise ValueError("not something to approve")
    at = datetime.fromisoformat(said.at)
    return Approval(said.by, statement.subject[0].digest.commit, at, said.of)

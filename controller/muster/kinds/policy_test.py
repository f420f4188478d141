"""PolicyTest: a small change, and the verdicts that the policies of this repository must come to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, StringConstraints

from muster.kinds.digest import Name
from muster.kinds.evidence import Measurement
from muster.kinds.owners import Login
from muster.kinds.resource import AsTuple, Declared, Resource, Text

TreePath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", max_length=200)]
FileText = Annotated[str, StringConstraints(max_length=200_000)]


def _moment(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"no such time: {text}; write a day and a time that there are") from error
    return text


Instant = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"),
    AfterValidator(_moment),
]


def _exact(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    waiting: list[JsonValue] = [value]
    while waiting:
        match waiting.pop():
            case dict() as fields:
                waiting += fields.values()
            case list() as items:
                waiting += items
            case float() as number:
                raise ValueError(f'statements hold no floats, this one {number}; write a text, such as "0.94"')
    return value


class Replacement(Declared):
    """The first occurrence of `find` becomes `replace`. A text that does not occur is an error of the test."""

    find: Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
    replace: Annotated[str, StringConstraints(max_length=10_000)]


class FileChange(Declared):
    """Exactly one: the whole file, its deletion, or what becomes of the file that is there (or of another, `copyOf`).

    `edits` come first; then `rollout` sets a release's percentages, all of them.
    """

    path: TreePath
    text: FileText | None = None
    copy_of: TreePath | None = None
    edits: Annotated[tuple[Replacement, ...], AsTuple, Field(max_length=32)] = ()
    rollout: Annotated[dict[Name, Text], Field(max_length=64)] | None = None
    delete: bool = False


class StatementMade(Declared):
    """Evidence of any kind about a release's artifact. A `stranger` signs with a key that the base does not declare."""

    release: Text
    predicate_type: Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=256)]
    predicate: Annotated[dict[Text, JsonValue], Field(max_length=64), AfterValidator(_exact)]
    signed_by: Literal["trusted", "stranger"] = "trusted"


class Expected(Declared):
    """A verdict that must be there. What is left out may be anything."""

    rule: Text
    outcome: Literal["pass", "fail", "error", "inconclusive"]
    subject: Text | None = None
    contains: Text | None = None


class Said(Declared):
    """What a controller answers in the case: every guardrail alike, and everything on offer since one moment.

    It has a hundred devices of each class in each cohort, and every artifact of the base at hand.
    `holds` is the older word for `no-worse`.
    """

    guardrails: Literal["holds", "no-worse", "harm", "undecided", "cannot-tell"]
    since: Instant


class PolicyTestSpec(Declared):
    """`base` changes this repository's tree into the case's base; `head` changes that into the proposed head.

    `measurements` are signed with a key that the case's base trusts; `statements` are evidence of other kinds. Commits
    of a case are not signed. Without `controller`, none is asked.
    """

    at: Instant
    author: Login
    body: Annotated[str, StringConstraints(max_length=10_000)] = ""
    approved_by: Annotated[tuple[Login, ...], AsTuple, Field(max_length=16)] = ()
    base: Annotated[tuple[FileChange, ...], AsTuple, Field(max_length=64)] = ()
    head: Annotated[tuple[FileChange, ...], AsTuple, Field(min_length=1, max_length=64)]
    measurements: Annotated[tuple[Measurement, ...], AsTuple, Field(max_length=16)] = ()
    statements: Annotated[tuple[StatementMade, ...], AsTuple, Field(max_length=16)] = ()
    controller: Said | None = None
    blocked: bool
    expect: Annotated[tuple[Expected, ...], AsTuple, Field(max_length=64)] = ()


class PolicyTest(Resource):
    """policies/tests/<name>.yaml"""

    kind: Literal["PolicyTest"] = "PolicyTest"
    spec: PolicyTestSpec

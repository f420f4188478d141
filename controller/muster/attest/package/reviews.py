"""Reviews as a forge told them: by which pull request a release came in, and who approved which commit there.

No forge signs its reviews. What stands here is what it answered to whoever sealed the package, and as good as they are;
an approval that its giver signed lies in `notes/approvals/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from muster.attest.dsse import read_part
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import Commit
from muster.kinds.errors import Unusable
from muster.kinds.moment import utc_text
from muster.kinds.pull_request import PullRequest

REVIEWS: Final = "reviews.json"
MOST_REQUESTS: Final = 100

Who = Annotated[str, StringConstraints(pattern=r"^[!-~]+$", max_length=320)]
"""A login, or an address where a forge knows nothing better."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class ToldApproval(_Part):
    """Who approved which commit, and when."""

    by: Who
    commit: Commit
    at: str


class Reviewed(_Part):
    """One pull request."""

    forge: Who
    number: Annotated[int, Field(ge=1)]
    base: Commit
    head: Commit
    author: Who | None
    approvals: Annotated[list[ToldApproval], Field(max_length=1_000)]


class _Reviews(_Part):
    requests: Annotated[list[Reviewed], Field(max_length=MOST_REQUESTS)]


def write_reviews(requests: Iterable[PullRequest]) -> bytes:
    """The member's bytes. Raises `Unusable` for a pull request without a number: nobody could look it up."""
    told = []
    for request in sorted(requests, key=lambda one: one.number or 0):
        if request.number is None:
            raise Unusable("the pull request has no number", "read it from a forge that numbers them")
        approvals = [
            {"by": one.by, "commit": one.commit, "at": utc_text(one.at)}
            for one in sorted(request.approvals, key=lambda one: (one.at, one.by, one.commit))
            if not one.of
        ]
        about = {"forge": request.forge, "number": request.number, "author": request.author}
        told.append({**about, "base": request.base, "head": request.head, "approvals": approvals})
    return canonical_json({"requests": told}) + b"\n"


def read_reviews(data: bytes) -> tuple[Reviewed, ...]:
    """The pull requests. Raises `Refused`."""
    return tuple(read_part(_Reviews, data, "list of reviews", "export the package again").requests)

"""What GitHub answers, as far as Muster reads it. Other fields are ignored: GitHub adds some every month."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from muster.kinds.digest import Commit
from muster.kinds.errors import Unusable

Login = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\[bot\])?$")]
Id = Annotated[int, Field(ge=1, lt=2**63)]


class Answer(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True, strict=True)


class User(Answer):
    """Somebody with an account. Bots are not people."""

    login: Login
    type: str = "User"

    @property
    def is_person(self) -> bool:
        """False for apps and other bots."""
        return self.type == "User" and not self.login.endswith("[bot]")


class Tip(Answer):
    """One side of a pull request."""

    sha: Commit
    ref: str


class PullAnswer(Answer):
    """A pull request."""

    number: Id
    title: str
    body: str | None = None
    user: User | None
    head: Tip
    base: Tip
    commits: Annotated[int, Field(ge=0)] = 0


class ReviewAnswer(Answer):
    """One review. A review that is dismissed changes its state in its place."""

    id: Id
    user: User | None
    state: str
    commit_id: Commit | None = None
    submitted_at: datetime | None = None


class _Author(Answer):
    email: str | None = None


class _GitCommit(Answer):
    author: _Author | None = None


class _Account(Answer):
    """GitHub writes `{}` for an author that it does not know."""

    login: Login | None = None


class CommitAnswer(Answer):
    """One commit of a pull request."""

    sha: Commit
    author: _Account | None = None
    commit: _GitCommit

    @property
    def written_by(self) -> str:
        """A login, else an address, else nothing."""
        if self.author is not None and self.author.login:
            return self.author.login
        return (self.commit.author.email if self.commit.author else None) or ""


class CommentAnswer(Answer):
    """A comment on the pull request."""

    id: Id
    user: User | None
    body: str | None = None


class FileAnswer(Answer):
    """A file that the pull request changes."""

    filename: str
    status: str
    previous_filename: str | None = None


class _Object(Answer):
    sha: Commit


class RefAnswer(Answer):
    """A branch."""

    object: _Object


class MadeAnswer(Answer):
    """Something that was created."""

    id: Id


_Any = TypeVar("_Any")


def parse(kind: type[_Any], data: bytes) -> _Any:
    """The answer as `kind`. Raises `Unusable` if it is not that."""
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(step) for step in first["loc"][:8])[:200]
        raise Unusable(
            f"GitHub answers something else than expected: {place}: {first['msg']}",
            "see that GITHUB_API_URL is the address of the REST API",
        ) from None

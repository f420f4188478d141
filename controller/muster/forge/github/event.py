"""Which pull request a workflow runs for, from the event file of the runner. The file is a hint: it names, no more."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from muster.forge.github.answers import Login
from muster.kinds.digest import Commit
from muster.kinds.errors import Unusable

LARGEST: Final = 4 * 2**20
_HINT = "run it for pull_request, pull_request_review or workflow_run, or name the pull request"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _Repository(_Part):
    full_name: Annotated[str, StringConstraints(max_length=200)]


class _Numbered(_Part):
    number: Annotated[int, Field(ge=1, lt=10**10)]


class _Owner(_Part):
    login: Login


class _HeadRepository(_Part):
    owner: _Owner


class _Run(_Part):
    event: Literal["pull_request", "pull_request_review"]
    head_sha: Commit
    head_branch: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    head_repository: _HeadRepository


class _Event(_Part):
    repository: _Repository
    pull_request: _Numbered | None = None
    workflow_run: _Run | None = None


def reference_of(path: Path, repository: str) -> str:
    """What `GitHub.read` takes: the number, or `owner:branch@commit` for a run that another workflow set off.

    GitHub leaves the number out of a `workflow_run` for pull requests from forks. Raises `Unusable`.
    """
    try:
        event = _Event.model_validate_json(_read(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(step) for step in first["loc"][:8])[:200]
        raise Unusable(f"the event file does not name a pull request: {place}: {first['msg']}", _HINT) from None
    if event.repository.full_name.casefold() != repository.casefold():
        raise Unusable("the event is about another repository than GITHUB_REPOSITORY", _HINT)
    if event.pull_request is not None:
        return str(event.pull_request.number)
    if event.workflow_run is not None:
        run = event.workflow_run
        return f"{run.head_repository.owner.login}:{run.head_branch}@{run.head_sha}"
    raise Unusable("the event is about no pull request", _HINT)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unusable(f"the event file {path} is no regular file", _HINT)
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise Unusable(f"the event file {path} cannot be read: {error.strerror}", "see GITHUB_EVENT_PATH") from error
    if len(data) > LARGEST:
        raise Unusable(f"the event file {path} has more than {LARGEST} bytes", _HINT)
    return data

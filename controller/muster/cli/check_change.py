"""Judging a change: who asks is read from a forge, from git, or taken as unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.check_fleet import repository_at
from muster.kinds.errors import Unusable

_MOST_COMMITS = 10_000

if TYPE_CHECKING:
    from muster.check.judgement import Judgement
    from muster.kinds.field_state import FieldState
    from muster.kinds.pull_request import PullRequest
    from muster.source.git import Repository


def check_request(path: Path, output: str, options: dict[str, Any]) -> int:
    """Judge one pull request and print the report. The exit code: 0 passes, 1 blocked."""
    from muster.review.review import review
    from muster.source.load import Loader

    repository = repository_at(path)
    now = _time(options["at"])
    request = _request(repository, options)
    judgement = review(repository, request, now, _controller(options), Loader())
    _print(judgement, output)
    return judgement.exit_code


def check_each(path: Path, output: str, options: dict[str, Any]) -> int:
    """Judge every commit of the branch after one, each against the commit before it. 1 if any of them is blocked."""
    from muster.kinds.pull_request import PullRequest
    from muster.review.review import review
    from muster.source.load import Loader

    repository = repository_at(path)
    since = repository.resolve(options["each"])
    head = repository.resolve(options["head"])
    loader = Loader()
    blocked = []
    commits = repository.log(None, _MOST_COMMITS, head, first_parent=True, without=since)
    for commit in reversed(commits):
        request = PullRequest(base=commit.parents[0], head=commit.commit)
        judgement = review(repository, request, commit.at, None, loader)
        if judgement.outcome == "blocked":
            blocked.append(commit)
            _print(judgement, output)
            click.echo(f"blocked: {commit.commit[:12]} {commit.subject}", err=True)
    click.echo(f"{len(commits)} commits judged, {len(blocked)} blocked", err=True)
    return 1 if blocked else 0


def _request(repository: Repository, options: dict[str, Any]) -> PullRequest:
    from muster.kinds.pull_request import PullRequest

    base, head = repository.resolve(options["base"]), repository.resolve(options["head"])
    return PullRequest(base=base, head=head)


def _time(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unusable(f"not a time: {text!r}", "write 2026-03-01T09:00:00Z") from error
    if found.tzinfo is None:
        raise Unusable(f"{text!r} names no zone", "write 2026-03-01T09:00:00Z")
    return found.astimezone(UTC)


def _controller(options: dict[str, Any]) -> FieldState | None:
    if options["fleet"] is None:
        return None
    from muster.serve.client import ControllerClient

    return ControllerClient(options["fleet"], Path(options["state"])).field_state()


def _print(judgement: Judgement, output: str) -> None:
    from muster.review.reports import REPORTS

    click.echo(REPORTS[output](judgement), nl=False)

"""Judging a change: who asks is read from a forge, from git, or taken as unknown."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.check_fleet import repository_at
from muster.kinds.errors import MusterError, Unusable

_MOST_COMMITS = 10_000
_APPROVED = ("approval", "weakening", "checklist")

if TYPE_CHECKING:
    from muster.check.judgement import Judgement
    from muster.check.verdict import Verdict
    from muster.kinds.field_state import FieldState
    from muster.source.git import Repository


def check_request(path: Path, output: str, options: dict[str, Any]) -> int:
    """Judge one pull request, print the report, and answer on the forge. The exit code: 0 passes, 1 blocked."""
    repository = repository_at(path)
    judgement = _on_github(repository, options) if options["github"] else _here(repository, options)
    _print(judgement, output)
    return judgement.exit_code


def _here(repository: Repository, options: dict[str, Any]) -> Judgement:
    """Judge without a forge: approvals are read from git notes, or unknown."""
    from muster.kinds.pull_request import PullRequest
    from muster.review.review import review
    from muster.source.load import Loader

    now = _time(options["at"])
    base, head = repository.resolve(options["base"]), repository.resolve(options["head"])
    request = PullRequest(base=base, head=head)
    if options["approvals"] == "git":
        from muster.forge.git.driver import from_repository

        request = from_repository(repository, lambda: now).read(f"{base}..{head}")
    return review(repository, request, now, controller_state(options), Loader())


def _on_github(repository: Repository, options: dict[str, Any]) -> Judgement:
    """Judge what GitHub's surroundings name, and answer there: check runs, and the one comment."""
    from muster.forge.check_runs import check_runs, unjudged
    from muster.forge.git.approvals import with_signed
    from muster.forge.github.driver import from_environment
    from muster.review.reports import REPORTS
    from muster.review.review import review
    from muster.source.load import Loader

    github = from_environment(os.environ)
    request = github.read(github.reference)
    try:
        loader = Loader()
        fleet = loader.people(repository, request.base)
        if fleet is not None:
            request = with_signed(request, repository, fleet.owners, fleet.signing_keys)
        judgement = review(repository, request, _time(options["at"]), controller_state(options), loader)
    except MusterError as error:
        # Otherwise what an earlier run said of this head would go on to stand there.
        github.post_checks(request, [unjudged(error)])
        raise
    github.post_checks(request, check_runs(judgement))
    github.post_comment(request, REPORTS["markdown"](judgement))
    return judgement


def check_each(path: Path, output: str, options: dict[str, Any]) -> int:
    """Judge every commit of the branch after one, each against the commit before it. 1 if any of them is blocked.

    Who approved a merged change is the forge's to tell, and how the fleet stood then is nobody's: what waits for an
    approval or for a controller is not counted here.
    """
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
        message = f"{commit.subject}\n\n{commit.body}"
        request = PullRequest(commit.parents[0], commit.commit, commit.author, commit.subject, message, forge="git")
        judgement = review(repository, request, commit.at, None, loader)
        kept = tuple(verdict for verdict in judgement.verdicts if _is_in_git(verdict))
        judgement = replace(judgement, verdicts=kept, approvals=())
        if judgement.outcome == "blocked":
            blocked.append(commit)
            _print(judgement, output)
            click.echo(f"blocked: {commit.commit[:12]} {commit.subject}", err=True)
    click.echo(f"{len(commits)} commits judged, {len(blocked)} blocked", err=True)
    return 1 if blocked else 0


def _is_in_git(verdict: Verdict) -> bool:
    """True for what a commit alone decides: no approval lifts it, and no controller has to be asked."""
    waits = verdict.section == "transition" and verdict.outcome == "inconclusive"
    return verdict.section not in _APPROVED and verdict.rule != "transition/freeze" and not waits


def _time(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unusable(f"not a time: {text!r}", "write 2026-03-01T09:00:00Z") from error
    if found.tzinfo is None:
        raise Unusable(f"{text!r} names no zone", "write 2026-03-01T09:00:00Z")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise Unusable(f"{text!r} is no time in UTC", "write 2026-03-01T09:00:00Z") from error


def controller_state(options: dict[str, Any]) -> FieldState | None:
    """What the controller at `--fleet` knows of its field; None if none is to be asked."""
    if options["fleet"] is None:
        return None
    from muster.serve.client import ControllerClient

    token = os.environ.get("MUSTER_OPERATOR_TOKEN") or None
    return ControllerClient(options["fleet"], Path(options["state"]), token).field_state()


def _print(judgement: Judgement, output: str) -> None:
    from muster.review.reports import REPORTS

    click.echo(REPORTS[output](judgement), nl=False)

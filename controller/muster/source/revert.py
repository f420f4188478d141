"""A revert: which commits to take back so that a release reaches no device any more, and the commit that does it.

The release file goes back to the newest state, along the branch itself (first parents), in which it was absent or
reached no device. If the same file was changed again after it first reached devices, all of these commits are taken
back together: anything else would leave a share of the release in the field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from muster.kinds.errors import Refused
from muster.kinds.fleet import Fleet
from muster.kinds.release import Release
from muster.source.edit import set_rollout
from muster.source.git import CommitInfo, Repository
from muster.source.load import Loader
from muster.source.validate import validate
from muster.source.yaml_events import YamlFault, parse

_FURTHEST_BACK = 1_000
_RELEASE_PATH = re.compile(r"releases/([^/]+)/([^/]+)\.yaml")


@dataclass(frozen=True)
class Revert:
    """What to commit: `changes` by path (None deletes), the commits taken back (newest first), and the message.

    `at_nought` is what to commit where the files as they were do not fit the others any more: they stay as they are
    now, with 0 % of every cohort.
    """

    changes: dict[str, bytes | None]
    at_nought: dict[str, bytes | None]
    reverted: tuple[CommitInfo, ...]
    message: str


@dataclass(frozen=True)
class Written:
    """A revert that is a commit, on no branch yet: what it changes (None deletes), and the fleet that it declares."""

    commit: str
    changes: dict[str, bytes | None]
    fleet: Fleet


def plan_revert(repository: Repository, head: str, release_path: str, why: str) -> Revert:
    """The revert that takes a release back from every device.

    Raises `Refused` if the release is not declared at `head`, reaches no device already, or has reached devices for
    longer than the last 1,000 commits that touched it.
    """
    named = _RELEASE_PATH.fullmatch(release_path)
    now = repository.show_file(head, release_path)
    if named is None or now is None:
        raise Refused(f"{release_path} is not declared at {head}", "name a release of this commit")
    release = f"{named[1]}/{named[2]}"
    declared = _release(release_path, now)
    if declared is not None and not declared.spec.rollout.reaches_any:
        raise Refused(f"{release} reaches no device", "there is nothing to take back")
    history = repository.log(release_path, _FURTHEST_BACK, head, first_parent=True)
    for index, commit in enumerate(history):
        before = repository.show_file(commit.parents[0], release_path) if commit.parents else None
        if before is None or _reaches_none(release_path, before):
            reverted = history[: index + 1]
            at_nought: dict[str, bytes | None] = {release_path: _at_nought(declared, now)} if declared else {}
            return Revert({release_path: before}, at_nought, reverted, _message(release, reverted, why))
    raise Refused(
        f"{release} has reached devices for as long as its history can be read",
        'write a commit that sets its percentages to "0%"',
    )


def write_revert(
    repository: Repository, loader: Loader, revert: Revert, head: str, author: str, at: datetime
) -> Written:
    """Commit a revert on top of `head`, without moving any branch. The same input gives the same commit.

    Where the files as they were do not fit the others any more (a newer release supersedes one that would go), they
    stay, and reach nobody. Raises `Refused` if the result does not pass the checks in either way.
    """
    what = f"the revert of {', '.join(sorted(revert.changes))}"
    refusals = []
    for changes in filter(None, (revert.changes, revert.at_nought)):
        commit = repository.commit_files(head, changes, revert.message, author, at)
        try:
            return Written(commit, changes, loader.commit(repository, commit).fleet_or_refuse(what))
        except Refused as refusal:
            refusals.append(refusal)
    # What keeps the files from staying is what has to be changed.
    raise refusals[-1]


def _release(path: str, data: bytes) -> Release | None:
    """None for a state that does not load."""
    try:
        result = validate(path, Release, parse(data))
    except YamlFault:
        return None
    return result if isinstance(result, Release) else None


def _reaches_none(path: str, data: bytes) -> bool:
    release = _release(path, data)
    return release is not None and not release.spec.rollout.reaches_any


def _at_nought(release: Release, text: bytes) -> bytes:
    return set_rollout(text.decode(), dict.fromkeys(release.spec.rollout.cohorts, "0%")).encode()


def _message(release: str, reverted: tuple[CommitInfo, ...], why: str) -> str:
    """Like git's own, so that tools that look for `This reverts commit` find it."""
    one = len(reverted) == 1
    title = f'Revert "{reverted[0].subject}"' if one else f"Revert {release}: {len(reverted)} commits"
    subjects = [] if one else ["", *(f"  {commit.commit[:12]} {commit.subject}" for commit in reverted)]
    taken_back = [_taken_back(commit) for commit in reverted]
    reason = [why.strip()] if why.strip() else []
    return "\n".join([title, "", *taken_back, *subjects, "", f"{release} reaches no device any more.", *reason]) + "\n"


def _taken_back(commit: CommitInfo) -> str:
    if len(commit.parents) > 1:
        return f"This reverts commit {commit.commit}, reversing\nchanges made to {commit.parents[0]}."
    return f"This reverts commit {commit.commit}."

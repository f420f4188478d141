"""Planning a revert: which commits to take back so that a release reaches no device any more.

The release file goes back to the newest state, along the branch itself (first parents), in which it was absent or
reached no device. If the same file was changed again after it first reached devices, all of these commits are taken
back together: anything else would leave a share of the release in the field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from muster.kinds.errors import Refused
from muster.kinds.release import Release
from muster.source.edit import set_rollout
from muster.source.git import CommitInfo, Repository
from muster.source.validate import validate
from muster.source.yaml_events import YamlFault, parse

_FURTHEST_BACK = 1_000
_RELEASE_PATH = re.compile(r"releases/([^/]+)/([^/]+)\.yaml")


@dataclass(frozen=True)
class Revert:
    """What to commit: `changes` by path (None deletes), the commits taken back (newest first), and the message."""

    changes: dict[str, bytes | None]
    reverted: tuple[CommitInfo, ...]
    message: str


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
    if _reaches_any(release_path, now) is False:
        raise Refused(f"{release} reaches no device", "there is nothing to take back")
    history = repository.log(release_path, _FURTHEST_BACK, head, first_parent=True)
    for index, commit in enumerate(history):
        before = repository.show_file(commit.parents[0], release_path) if commit.parents else None
        if before is None or _reaches_any(release_path, before) is False:
            reverted = history[: index + 1]
            return Revert({release_path: before}, reverted, _message(release, reverted, why))
    raise Refused(
        f"{release} has reached devices for as long as its history can be read",
        'write a commit that sets its percentages to "0%"',
    )


def _reaches_any(path: str, data: bytes) -> bool | None:
    """None for a state that does not load: nothing to go back to."""
    try:
        result = validate(path, Release, parse(data))
    except YamlFault:
        return None
    return result.spec.rollout.reaches_any if isinstance(result, Release) else None


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


def reaching_nobody(repository: Repository, head: str, release: Release, path: str) -> bytes:
    """The release's file with 0 % of every cohort: what to commit where the file cannot go, since others name it."""
    present = (repository.show_file(head, path) or b"").decode()
    return set_rollout(present, dict.fromkeys(release.spec.rollout.cohorts, "0%")).encode()

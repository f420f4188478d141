"""What the base's own history says of a change: since when a percentage stands, and what goes back to an old state."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from muster.check.case import Declared
from muster.check.change import Move, Touched, differing_pins
from muster.kinds.release import Release
from muster.source.comparison import Appearance, appearances, deletions
from muster.source.git import CommitInfo, Repository
from muster.source.validate import validate
from muster.source.yaml_events import YamlFault, parse

MOST_FOLLOWED = 100
"""Files whose history is read: each costs a walk. Of more, no soak is known, and no revert is recognised."""

_MOST_SAID = 1_000
_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{7,64})", re.MULTILINE)


def declared_since(repository: Repository, base: str, moves: Iterable[Move]) -> Mapping[tuple[str, str], Declared]:
    """(release, cohort) → the percentage at the base, and the time of the commit that brought it there.

    Every cohort that has some of a release which gets wider: the first ones have to have soaked before others follow.
    """
    found: dict[tuple[str, str], Declared] = {}
    wider = [move for move in moves if move.widens and any(move.before.values())]
    for move in wider[:MOST_FOLLOWED]:
        history = appearances(repository, base, move.release.path)
        for cohort, ppm in move.before.items():
            since = _since(repository, move.release.path, history, cohort, ppm) if ppm else None
            if since is not None:
                found[move.release.name, cohort] = Declared(ppm, since.at)
    return found


def _since(
    repository: Repository, path: str, history: tuple[Appearance, ...], cohort: str, ppm: int
) -> Appearance | None:
    """The oldest appearance of an unbroken run, from the newest back, in which the same devices have the release."""
    since, salt = None, None
    for appearance in history:
        release = _release_at(repository, path, appearance.blob)
        if release is None or release.spec.rollout.cohorts.get(cohort, 0) != ppm or salt not in (None, release.salt):
            break
        since, salt = appearance, release.salt
    return since


def _release_at(repository: Repository, path: str, blob: str | None) -> Release | None:
    """None for a state that does not load, or in which there was no file."""
    if blob is None:
        return None
    try:
        result = validate(path, Release, parse(repository.blobs([blob])[blob]))
    except YamlFault:
        return None
    return result if isinstance(result, Release) else None


def declared_otherwise(
    repository: Repository, base: str, added: Sequence[Release]
) -> tuple[tuple[Release, tuple[str, ...]], ...]:
    """Added releases that the base's branch once had, and deleted, with other pins; with the fields that differ.

    A version means one thing for ever: to delete it and to add it again is an edit in two changes.
    """
    before = deletions(repository, base, [release.path for release in added])
    found = ((release, _release_at(repository, release.path, before.get(release.path))) for release in added)
    return tuple((new, differing_pins(old, new)) for new, old in found if old is not None and old.pins != new.pins)


def reverted(
    repository: Repository, base: str, touched: Iterable[Touched], commits: Iterable[CommitInfo]
) -> frozenset[str]:
    """Names of releases whose file goes back to a state that it had on the base's branch before.

    So it does if the very bytes stood there before, or if a commit says that it reverts one which touched the file.
    """
    matches = (match[1] for commit in commits for match in _REVERTS.finditer(commit.body))
    said = tuple(islice(dict.fromkeys(matches), _MOST_SAID))
    releases = [file for file in touched if _is_release(file.path) and file.before is not None]
    found: set[str] = set()
    for file in [file for file in releases if said or file.after][:MOST_FOLLOWED]:
        history = appearances(repository, base, file.path)
        stood_before = file.after is not None and file.after in {appearance.blob for appearance in history[1:]}
        if stood_before or any(appearance.commit.startswith(said) for appearance in history):
            found.add(file.path.removeprefix("releases/").removesuffix(".yaml"))
    return frozenset(found)


def _is_release(path: str) -> bool:
    return path.startswith("releases/") and path.count("/") == 2

"""Gathering the primary members of an evidence package from a repository, and from a controller's ledger.

Everything is read at one commit, and bounded; what the commit holds comes with the git objects that prove it. As of
when gates are judged is the commit's own time unless the caller says otherwise, so that the same commit gives the same
package wherever and whenever it is made.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from muster.apply.admissions import file_name
from muster.attest.keys import key_id
from muster.attest.package.contents import (
    ABOUT,
    ADMITTED,
    APPROVALS,
    BESIDES,
    LEDGER,
    MOST_COMMITS,
    OBJECTS,
    TREE,
    VERDICTS,
    About,
    covered,
)
from muster.attest.package.git_objects import described, entries_of, framed, tree_of
from muster.attest.package.ledger_rows import write_rows
from muster.attest.package.reviews import REVIEWS, write_reviews
from muster.attest.package.verify import MADE_BY
from muster.build.declarations import read_bounded
from muster.forge.git import notes
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.event_kind import named_in
from muster.kinds.evidence import LARGEST
from muster.kinds.moment import utc_text
from muster.kinds.pull_request import PullRequest
from muster.kinds.release import Release
from muster.kinds.signing_key import SigningKey
from muster.source.git import Repository, TreeEntry
from muster.source.git_program import MIB
from muster.source.load import Loader

MOST_EVENTS: Final = 10_000
MOST_BETWEEN: Final = 2_000
"""Most commits between the commit of a package and those of its history, to show that one led to the other."""
_LARGEST_OBJECTS: Final = 64 * MIB
_LARGEST_FILE: Final = 16 * MIB
_MOST_LOOKED_AT: Final = 200_000


def gather_package(
    repository: Repository,
    revision: str,
    name: str,
    state: Path | None = None,
    at: datetime | None = None,
    requests: Sequence[PullRequest] | None = None,
) -> dict[str, bytes]:
    """The primary members for a release at a revision, with the ledger of a state folder if it has one.

    `requests`: pull requests as a forge told them; None if none was asked.
    Raises `Refused` if the release is not declared there, or something is without bounds; `Unusable`.
    """
    commit = repository.resolve(revision)
    fleet = Loader().commit(repository, commit).fleet_or_refuse(commit)
    release = fleet.release(name)
    if release is None:
        raise Refused(f"release {name} is not declared at {commit[:12]}", "list those that are: muster get releases")
    entries = _entries(repository, commit, release)
    contents = repository.blobs(entry.blob for entry in entries)
    history = _history(repository, commit, release)
    members = {TREE + entry.path: contents[entry.blob] for entry in entries}
    # Also along the ways to what is not there: that shows that nothing is.
    paths = [*covered(release), *(entry.path for entry in entries)]
    members |= _objects(repository, {commit: paths}, files=False)
    members |= _objects(repository, {one: [release.path] for one in history}, files=True)
    members |= _between(repository, commit, history)
    members |= _notes(repository, history)
    if requests is not None:
        members[REVIEWS] = write_reviews(requests)
    members |= _ledger(state, release, frozenset(history)) | _admission(state, release, fleet.keys_for("artifacts"))
    raw = repository.raw_commit(commit)
    about = About(
        release=release.name,
        artifact=release.spec.artifact.digest,
        commit=commit,
        at=utc_text(at or datetime.fromisoformat(described(raw)["at"])),
        made_by=MADE_BY,
        history=list(history),
    )
    text = json.dumps(about.model_dump(mode="json", by_alias=True), indent=2, sort_keys=True)
    return {**members, ABOUT: text.encode() + b"\n"}


def _entries(repository: Repository, commit: str, release: Release) -> list[TreeEntry]:
    """The files of the commit that say something about the release."""
    wanted = []
    for entry in repository.tree(commit, covered(release)):
        if entry.path.startswith(BESIDES):
            continue
        if not entry.mode.startswith("100"):
            raise Refused(f"{entry.path} is a link or a submodule", "commit the file itself")
        if entry.size > _LARGEST_FILE:
            raise Refused(f"{entry.path} has more than {_LARGEST_FILE} bytes", "keep large files out of a fleet")
        wanted.append(entry)
    return wanted


def _history(repository: Repository, commit: str, release: Release) -> tuple[str, ...]:
    """Commits that changed the release's file, as branches made them and as they were merged, newest first.

    The heads that were merged come too: approvals are given to them.
    """
    found = [
        *repository.log(release.path, MOST_COMMITS, commit, first_parent=True),
        *repository.log(release.path, MOST_COMMITS, commit),
    ]
    chosen: dict[str, None] = {}
    for one in found:
        for name in (one.commit, *one.parents[1:]):
            chosen[name] = None
    if len(chosen) > MOST_COMMITS:
        raise Refused(
            f"more than {MOST_COMMITS} commits touch {release.path}", "make a new version: releases are small"
        )
    # A shallow clone names parents that it does not hold.
    missing = [name for name in chosen if repository.git("cat-file", "-e", name).code != 0]
    if missing:
        raise Unusable(f"the clone does not hold {missing[0]}", "fetch the whole history: git fetch --unshallow")
    return tuple(chosen)


def _objects(repository: Repository, wanted: Mapping[str, Sequence[str]], *, files: bool) -> dict[str, bytes]:
    """The commits, the trees along their paths, and with `files` what stands there."""
    raw = _read(repository, wanted, "commit")
    found = {name: framed("commit", data) for name, data in raw.items()}
    level: dict[str, set[str]] = {}
    for commit, paths in wanted.items():
        level.setdefault(tree_of(raw[commit]), set()).update(paths)
    blobs: set[str] = set()
    while level:
        trees = _read(repository, level, "tree")
        found |= {name: framed("tree", data) for name, data in trees.items()}
        level = _below(trees, level, blobs)
    if files:
        contents = repository.blobs(sorted(blobs))
        found |= {name: framed("blob", data) for name, data in contents.items()}
    return {OBJECTS + name: data for name, data in found.items()}


def _between(repository: Repository, commit: str, history: Sequence[str]) -> dict[str, bytes]:
    """The commits of the shortest ways from a commit back to those of its history."""
    answer = repository.git("rev-list", "--parents", f"--max-count={_MOST_LOOKED_AT}", commit, limit=_LARGEST_OBJECTS)
    parents = {line.split()[0]: line.split()[1:] for line in answer.output.decode().splitlines()}
    child, waiting = {commit: ""}, deque([commit])
    while waiting:
        current = waiting.popleft()
        for parent in parents.get(current, ()):
            if parent not in child:
                child[parent] = current
                waiting.append(parent)
    way: dict[str, None] = {}
    for name in history:
        step = name
        while step and step not in way:
            way[step] = None
            step = child.get(step, "")
    if len(way) > len(history) + MOST_BETWEEN or not set(history) <= child.keys():
        raise Refused(
            f"{history[-1]} lies more than {MOST_BETWEEN} commits before {commit}", "export an older commit: --revision"
        )
    return {OBJECTS + name: framed("commit", data) for name, data in _read(repository, way, "commit").items()}


def _below(trees: Mapping[str, bytes], level: Mapping[str, set[str]], blobs: set[str]) -> dict[str, set[str]]:
    """The trees one step further along the paths; files that are reached go to `blobs`."""
    below: dict[str, set[str]] = {}
    for name, paths in level.items():
        entries = entries_of(trees[name], len(name) // 2)
        for path in paths:
            part, _, rest = path.partition("/")
            mode, number = entries.get(part, ("", ""))
            if mode == "40000" and rest:
                below.setdefault(number, set()).add(rest)
            elif mode.startswith("100") and not rest:
                blobs.add(number)
    return below


def _read(repository: Repository, names: Iterable[str], kind: str) -> dict[str, bytes]:
    """Objects of one kind by id, in one call of git."""
    wanted = list(names)
    answer = repository.git("cat-file", "--batch", given="\n".join(wanted).encode() + b"\n", limit=_LARGEST_OBJECTS)
    found: dict[str, bytes] = {}
    position = 0
    for name in wanted:
        end = answer.output.find(b"\n", position)
        header = answer.output[position : max(end, position)].decode(errors="replace").split()
        if answer.code != 0 or header[:2] != [name, kind]:
            raise Unusable(f"object {name} of {repository.path} is missing or damaged", "run git fsck there")
        found[name] = answer.output[end + 1 : end + 1 + int(header[2])]
        position = end + 2 + int(header[2])
    return found


def _notes(repository: Repository, history: Iterable[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for commit in history:
        for ref, folder in ((notes.APPROVALS, APPROVALS), (notes.VERDICTS, VERDICTS)):
            text = notes.read_note(repository, ref, commit)
            if text:
                found[folder + commit] = text.encode()
    return found


def _ledger(state: Path | None, release: Release, commits: frozenset[str]) -> dict[str, bytes]:
    """Events that concern the release, if a ledger is at hand."""
    if state is None or not (state / "muster.db").is_file():
        return {}
    from muster.apply.ledger import events
    from muster.observe.storage import open_storage

    engine = open_storage(state)
    rows: list[dict[str, Any]] = []
    with engine.connect() as connection:
        after = 0
        while page := events(connection, after):
            after = page[-1].sequence
            rows += [
                {**vars(event), "at": event.at.isoformat(), "body": dict(event.body)}
                for event in page
                if _concerns(event.body, release, commits)
            ]
    engine.dispose()
    if len(rows) > MOST_EVENTS:
        raise Refused(f"more than {MOST_EVENTS} events concern {release.name}", "export without the state folder")
    return {LEDGER: write_rows(rows)}


def _admission(state: Path | None, release: Release, keys: Sequence[SigningKey]) -> dict[str, bytes]:
    """The controller's word, signed by a key that the fleet trusts for artifacts."""
    for key in keys if state is not None else ():
        path = Path(state or "", "admissions", hex_of(key_id(key.spec.public_key)), file_name(release))
        if path.is_file():
            return {ADMITTED: read_bounded(path.parent, path.name, LARGEST)}
    return {}


def _concerns(body: Mapping[str, Any], release: Release, commits: frozenset[str]) -> bool:
    """True if an event names the release, its model as a whole, its artifact, or a commit of its history."""
    named = named_in(body)
    return (
        named.concerns(release.name)
        or release.model in named.models
        or release.spec.artifact.digest in named.artifacts
        or not commits.isdisjoint(named.commits)
    )

"""What a pull request would change: the merge result of base and head, and the files in which it differs from the base.

Rules it keeps:
- The base is taken as it is; the head is hostile. No checkout, no filter, no hook, no merge driver of the head runs.
- The merge result is written as loose objects to a folder of its own, and forgotten with it: no ref, no work tree, and
  no object of the repository changes.
- Bounded: 20,000 changed files, 1,000 commits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from muster.check.change import Touched
from muster.kinds.errors import Refused, Unusable
from muster.source.git import CommitInfo, Repository, check_path
from muster.source.git_program import MIB, printable

MAX_TOUCHED = 20_000
MAX_COMMITS = 1_000
_NONE = frozenset("0")


@dataclass(frozen=True)
class Merged:
    """The merge result: a tree, or the head itself where the base is its ancestor; and the paths that conflict."""

    tree: str
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Appearance:
    """A commit of the branch that touched a file, with the file's blob after it (None: deleted)."""

    commit: str
    at: datetime
    blob: str | None


@contextmanager
def merged(repository: Repository, base: str, head: str) -> Iterator[Merged]:
    """The merge result of two commits, for as long as the context lasts.

    Raises `Refused` if they share no history, `Unusable` if git cannot merge.
    """
    if repository.git("merge-base", "--is-ancestor", base, head).code == 0:
        yield Merged(head)
        return
    with tempfile.TemporaryDirectory(prefix="muster-merge-") as folder, repository.scratch_objects(Path(folder)):
        yield _merge(repository, base, head)


def _merge(repository: Repository, base: str, head: str) -> Merged:
    arguments = ["merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", base, head]
    answer = repository.git(*arguments, limit=8 * MIB)
    tree, *paths = answer.output.decode(errors="backslashreplace").split("\0")
    if answer.code == 1 and tree:
        return Merged(tree, tuple(dict.fromkeys(path for path in paths if path))[:100])
    if answer.code != 0 and "unrelated histories" in answer.errors:
        raise Refused(f"{head[:12]} shares no history with {base[:12]}", "branch off the base and commit again")
    if answer.code != 0:
        raise Unusable(f"cannot merge {head[:12]} into {base[:12]}: {answer.reason}", "git 2.38 or newer is needed")
    return Merged(tree)


def touched(repository: Repository, base: str, tree: str) -> tuple[Touched, ...]:
    """Every file that differs, by path. Raises `Refused` above 20,000."""
    answer = repository.git("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", base, tree, limit=16 * MIB)
    if answer.code != 0:
        raise Unusable(f"cannot compare with {base[:12]}: {answer.reason}", f"see git fsck in {repository.path}")
    fields = answer.output.split(b"\0")[:-1]
    if len(fields) // 2 > MAX_TOUCHED:
        raise Refused(
            f"{len(fields) // 2} files differ from the base, more than {MAX_TOUCHED}",
            "split the change: nobody can review that",
        )
    return tuple(_touched(fields[index], fields[index + 1]) for index in range(0, len(fields) - 1, 2))


def _touched(head: bytes, path: bytes) -> Touched:
    _, mode, before, after, _ = head.decode("ascii").split()
    gone = _NONE.issuperset(after)
    return Touched(
        path.decode(errors="backslashreplace"),
        None if _NONE.issuperset(before) else before,
        None if gone else after,
        None if gone else mode,
    )


def proposed_commits(repository: Repository, base: str, head: str) -> tuple[CommitInfo, ...]:
    """The commits that the head would bring in, oldest first. Raises `Refused` above 1,000."""
    commits = repository.log(None, MAX_COMMITS + 1, head, without=base)
    if len(commits) > MAX_COMMITS:
        raise Refused(f"the change brings more than {MAX_COMMITS} commits", "rebase it onto the base")
    return tuple(reversed(commits))


def appearances(repository: Repository, base: str, path: str, limit: int = 200) -> tuple[Appearance, ...]:
    """The newest commits of the base's own branch that touched a file, newest first, with its blob after each."""
    answer = repository.git(
        "log",
        "-z",
        "--first-parent",
        "-m",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "--no-color",
        f"--max-count={limit}",
        "--format=%x01%H %ct",
        base,
        "--",
        check_path(path),
    )
    if answer.code != 0:
        raise Unusable(f"cannot read the history of {printable(path)}: {answer.reason}", "fetch the whole history")
    return tuple(_appearances(answer.output))


def deletions(repository: Repository, base: str, paths: Sequence[str]) -> Mapping[str, str]:
    """Path → the blob that stood there before the base's own branch last deleted it. One walk for all paths."""
    if not paths:
        return {}
    options = ("--first-parent", "-m", "--raw", "--diff-filter=D", "--no-abbrev", "--no-renames", "--no-color")
    wanted = [check_path(path) for path in paths]
    answer = repository.git("log", "-z", *options, "--format=", base, "--", *wanted)
    if answer.code != 0:
        raise Unusable(f"cannot read the history of {base[:12]}: {answer.reason}", "fetch the whole history")
    fields = [field.lstrip(b"\n") for field in answer.output.split(b"\0")]
    found: dict[str, str] = {}
    for columns, path in pairwise(fields):
        if columns.startswith(b":"):
            found.setdefault(path.decode(errors="backslashreplace"), columns.split()[2].decode("ascii"))
    return found


def _appearances(output: bytes) -> Iterator[Appearance]:
    for record in output.split(b"\x01")[1:]:
        header, _, raw = record.partition(b"\0")
        commit, seconds = header.decode("ascii").split()
        columns = raw.lstrip(b"\n").split(b"\0")[0].decode("ascii", errors="replace").split()
        blob = columns[3] if len(columns) == 5 and not _NONE.issuperset(columns[3]) else None
        at = datetime.fromtimestamp(min(max(int(seconds), 0), 253_402_300_799), UTC)
        yield Appearance(commit, at, blob)

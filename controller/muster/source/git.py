"""A git repository, read and written through git's plumbing.

Rules it keeps:
- Reading never touches the work tree or the index; writing a commit uses a private index.
- Revisions, branches and paths that git could take for an option are refused before git sees them.
- A commit made from the same input has the same id, on any machine: time and author are parameters.
- A branch only ever moves forward, and only from the commit that the caller expects.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.source import git_remote
from muster.source.git_program import MIB, Answer, printable, run_git
from muster.source.layout import PATH_HINT, leaves_the_tree

MAX_ENTRIES = 100_000
MAX_TREE = 12 * MIB
MAX_BLOBS = 256 * MIB
MAX_FILE = 16 * MIB
MAX_COMMIT = MIB

_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REVISION = re.compile(r"[^\x00-\x20\x7f-][^\x00-\x1f\x7f]{0,254}")
_BRANCH = re.compile(r"(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)|/\.|[./]$))[A-Za-z0-9_][A-Za-z0-9._/@+#=-]{0,199}")
_AUTHOR = re.compile(r"([^<>\x00-\x1f]{1,200}) <([^<>\s\x00-\x1f]{1,200})>")


@dataclass(frozen=True)
class TreeEntry:
    """One file of a tree: git's mode ("100644", "120000" for a link, "160000" for a submodule), blob id, size in bytes.

    A path that is not UTF-8 has its odd bytes written as a backslash, `x` and two digits.
    """

    mode: str
    blob: str
    size: int
    path: str


@dataclass(frozen=True)
class CommitInfo:
    """One commit. `author` is "Name <address>", `at` the committer's time in UTC."""

    commit: str
    parents: tuple[str, ...]
    author: str
    at: datetime
    subject: str
    body: str


class Repository:
    """A repository, bare or not. `path` is its work tree's top, or the bare repository itself."""

    def __init__(self, path: Path) -> None:
        """Find the repository that `path` is in. Raises `Unusable` if there is none."""
        named = Path(path)
        answer = run_git(["rev-parse", "--absolute-git-dir", "--is-bare-repository", "--show-toplevel"], named)
        said = answer.output.decode(errors="surrogateescape")
        # A bare repository has no top, and git leaves with an error after it said so.
        git_folder, self.bare, top = said.removesuffix("\ntrue\n"), said.endswith("\ntrue\n"), ""
        if not self.bare:
            git_folder, within, top = said.partition("\nfalse\n")
            if not within:
                raise Unusable(f"not a git repository: {named}: {answer.reason}", "name the folder of a git repository")
            if answer.code != 0:
                raise Unusable(f"no work tree at {named}: {answer.reason}", "name the top of the work tree")
        self.git_folder = Path(git_folder)
        self._objects: dict[str, str] = {}
        self.path = self.git_folder if self.bare else Path(top.rstrip("\n"))

    @classmethod
    def mirror(cls, url: str, path: Path) -> Repository:
        """The bare mirror of `url` (a local path or a remote) at `path`.

        A mirror that is there already is reused as it stands; a new one is fetched. Raises `Refused` if `path` mirrors
        something else, `Unusable` for a URL of an unknown form, `TryAgain` if the remote does not answer.
        """
        git_remote.make_mirror(url, path)
        mirror = cls(path)
        if not mirror._has_branches():
            mirror.fetch()
        return mirror

    def git(self, *arguments: str, given: bytes = b"", limit: int = 64 * MIB, seconds: float = 60.0) -> Answer:
        """One call of git on this repository, answered whatever its exit code."""
        return run_git(
            [f"--git-dir={self.git_folder}", *arguments],
            self.path,
            given=given,
            environment=self._objects,
            limit=limit,
            seconds=seconds,
        )

    @contextlib.contextmanager
    def scratch_objects(self, folder: Path) -> Iterator[None]:
        """While it lasts, objects are written into `folder` instead of this repository, and read from both."""
        own = self.git("rev-parse", "--path-format=absolute", "--git-path", "objects").text
        self._objects = {"GIT_OBJECT_DIRECTORY": str(folder), "GIT_ALTERNATE_OBJECT_DIRECTORIES": own}
        try:
            yield
        finally:
            self._objects = {}

    def fetch(self) -> None:
        """Bring every branch of the mirrored origin up to date. Raises `TryAgain` if that cannot be done now."""
        git_remote.fetch(self)

    def resolve(self, revision: str) -> str:
        """The full id of the commit that a revision names. Raises `Unusable`."""
        if not _REVISION.fullmatch(revision):
            raise Unusable(f"not a revision: {printable(revision)[:100]!r}", "name a branch, a tag or a commit")
        answer = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
        if answer.code != 0 or not _ID.fullmatch(answer.text):
            raise Unusable(f"no commit is called {revision!r} in {self.path}", "name a branch, a tag or a commit")
        return answer.text

    def branch(self) -> str | None:
        """The branch that HEAD is on; None if HEAD is detached."""
        answer = self.git("symbolic-ref", "--quiet", "HEAD")
        return answer.text.removeprefix("refs/heads/") if answer.code == 0 else None

    def tree(self, commit: str, under: Sequence[str] = ()) -> tuple[TreeEntry, ...]:
        """Every file of a commit (below the paths `under`), at most 100,000. Raises `Refused` above, `Unusable`."""
        self._only_ids(commit)
        for path in under:
            check_path(path)
        answer = self.git("ls-tree", "-r", "-z", "--long", "--full-tree", commit, "--", *under, limit=MAX_TREE)
        self._must(answer, f"read the tree of {commit}")
        records = answer.output.split(b"\0")[:-1]
        if len(records) > MAX_ENTRIES:
            raise Refused(
                f"commit {commit} has more than {MAX_ENTRIES} files", "keep fleets in a repository of their own"
            )
        return tuple(_entry(record) for record in records)

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Contents by blob id, at most 256 MiB in total. Raises `Refused` above, `Unusable` if one is missing."""
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        self._only_ids(*wanted)
        answer = self.git("cat-file", "--batch", given="\n".join(wanted).encode() + b"\n", limit=MAX_BLOBS)
        self._must(answer, "read blobs")
        found: dict[str, bytes] = {}
        position = 0
        for blob in wanted:
            end = answer.output.find(b"\n", position)
            header = answer.output[position:end].decode(errors="replace").split()
            if end < 0 or len(header) != 3 or header[0] != blob or header[1] != "blob":
                raise Unusable(f"object {blob} of {self.path} is missing or damaged", "run git fsck in that repository")
            found[blob] = answer.output[end + 1 : end + 1 + int(header[2])]
            position = end + 2 + int(header[2])
        return found

    def raw_commit(self, commit: str) -> bytes:
        """A commit as git stores it, signature included, at most 1 MiB. Raises `Refused` above, `Unusable`."""
        self._only_ids(commit)
        answer = self.git("cat-file", "commit", commit, limit=MAX_COMMIT)
        self._must(answer, f"read the commit {commit}")
        return answer.output

    def log(
        self,
        path: str | None,
        limit: int,
        revision: str = "HEAD",
        *,
        first_parent: bool = False,
        without: str | None = None,
    ) -> tuple[CommitInfo, ...]:
        """The newest `limit` commits (that touch `path`) up to a revision, newest first.

        `first_parent` follows the branch itself: a merge counts as one commit. `without` leaves out what a commit
        already has. Raises `Unusable`.
        """
        commit = self._named(revision)
        form = "--format=tformat:%H%x00%P%x00%an <%ae>%x00%ct%x00%s%x00%b"
        options = [f"--max-count={limit}", *(["--first-parent", "-m"] if first_parent else [])]
        paths = ["--", check_path(path)] if path is not None else []
        revisions = [commit] if without is None else [commit, f"^{self._named(without)}"]
        answer = self.git("log", "-z", "--no-color", form, *options, "--end-of-options", *revisions, *paths)
        self._must(answer, f"read the history of {commit}")
        fields = answer.output.decode(errors="replace").split("\0")
        return tuple(_commit_info(fields[start : start + 6]) for start in range(0, len(fields) - 5, 6))

    def show_file(self, commit: str, path: str) -> bytes | None:
        """A file as a commit has it; None if it has none there. Raises `Refused` for links and above 16 MiB."""
        entries = [entry for entry in self.tree(commit, [path]) if entry.path == path]
        if not entries:
            return None
        if not entries[0].mode.startswith("100"):
            raise Refused(f"{path} is not a regular file in {commit}", "commit the file itself")
        if entries[0].size > MAX_FILE:
            raise Refused(
                f"{path} is larger than {MAX_FILE} bytes in {commit}", f"commit at most {MAX_FILE // MIB} MiB"
            )
        return self.blobs([entries[0].blob])[entries[0].blob]

    def commit_files(
        self, parent: str, changes: Mapping[str, bytes | None], message: str, author: str, at: datetime
    ) -> str:
        """Write a commit on top of `parent`, without any work tree; None deletes a file. No branch moves.

        `author` is "Name <address>". The same input gives the same id. Raises `Refused` if nothing would change.
        """
        self._only_ids(parent)
        who = _AUTHOR.fullmatch(author)
        if who is None:
            raise Unusable(f"not an author: {printable(author)!r}", 'write "Name <address>"')
        if "\0" in message or not message.strip():
            raise Unusable("a commit needs a message", "write a line that says why, without NUL characters")
        time = f"@{int(at.timestamp())} +0000"
        with tempfile.TemporaryDirectory(prefix="muster-index-") as folder:
            environment = {
                "GIT_INDEX_FILE": str(Path(folder) / "index"),
                "GIT_AUTHOR_NAME": who[1],
                "GIT_AUTHOR_EMAIL": who[2],
                "GIT_AUTHOR_DATE": time,
                "GIT_COMMITTER_NAME": who[1],
                "GIT_COMMITTER_EMAIL": who[2],
                "GIT_COMMITTER_DATE": time,
            }
            before = self._write(["rev-parse", "--verify", f"{parent}^{{tree}}"], environment)
            self._write(["read-tree", parent], environment)
            self._write(["update-index", "-z", "--index-info"], environment, self._index_lines(changes, parent))
            tree = self._write(["write-tree"], environment)
            if tree == before:
                raise Refused(f"nothing would change against {parent}", "it is already as asked")
            return self._write(["commit-tree", tree, "-p", parent, "-F", "-"], environment, message.encode())

    def store_commit(self, raw: bytes) -> str:
        """Store a commit as git writes it, on no branch; its id. Raises `Unusable`, `TryAgain`."""
        answer = self.git("hash-object", "-t", "commit", "-w", "--stdin", given=raw)
        self._must(answer, "store a commit")
        return answer.text

    def advance(self, commit: str, branch: str, expected: str) -> None:
        """Move a branch of this repository from `expected` forward to `commit`, with the work tree if it shows it.

        Raises `Refused` if the branch moved on or the work tree has changes of its own, `TryAgain` if it is locked.
        """
        self._only_ids(commit, expected)
        git_remote.advance(self, commit, check_branch(branch), expected)

    def push(self, commit: str, branch: str, expected: str) -> None:
        """Move a branch of the mirrored origin from `expected` forward to `commit`.

        An origin that is a local work tree with that branch checked out gets a fast-forward merge there. Pushing again
        what is already there holds. Raises `Refused` if the branch moved on or the origin refuses, else `TryAgain`.
        """
        self._only_ids(commit, expected)
        git_remote.push(self, commit, check_branch(branch), expected)

    def _named(self, revision: str) -> str:
        """The full id itself, or that of the commit which a revision names."""
        return revision if _ID.fullmatch(revision) else self.resolve(revision)

    def _has_branches(self) -> bool:
        return bool(self.git("for-each-ref", "--count=1", "refs/heads").output)

    def _write(self, arguments: list[str], environment: Mapping[str, str], given: bytes = b"") -> str:
        answer = run_git(
            [f"--git-dir={self.git_folder}", *arguments],
            self.path,
            given=given,
            environment={**self._objects, **environment},
        )
        self._must(answer, f"write a commit ({arguments[0]})")
        return answer.text

    def _index_lines(self, changes: Mapping[str, bytes | None], parent: str) -> bytes:
        lines = bytearray()
        for path, data in sorted(changes.items()):
            blob = "0" * len(parent)
            if data is not None:
                answer = self.git("hash-object", "-w", "--stdin", given=data)
                self._must(answer, f"store {path}")
                blob = answer.text
            lines += f"{'0' if data is None else '100644'} {blob}\t{check_path(path)}\0".encode()
        return bytes(lines)

    def _only_ids(self, *ids: str) -> None:
        for name in ids:
            if not _ID.fullmatch(name):
                raise Unusable(f"not a full object id: {printable(name)[:100]!r}", "resolve the revision first")

    def _must(self, answer: Answer, what: str) -> None:
        if answer.code == 0:
            return
        if ".lock'" in answer.errors or "No space left" in answer.errors:
            raise TryAgain(f"cannot {what}: {answer.reason}", "another git works there, or its lock was left behind")
        raise Unusable(f"cannot {what}: {answer.reason}", f"see git fsck in {self.path}")


def check_path(path: str) -> str:
    """The path, if it stays inside a tree. Raises `Refused`."""
    if leaves_the_tree(path):
        raise Refused(f"not a path inside a tree: {printable(path)[:200]!r}", PATH_HINT)
    return path


def check_branch(branch: str) -> str:
    """The branch's name, if git could not take it for anything else. Raises `Unusable`."""
    if not _BRANCH.fullmatch(branch):
        raise Unusable(f"not a branch: {printable(branch)[:100]!r}", "write the branch as main or team/topic")
    return branch


def make_repository(folder: Path, branch: str) -> Repository:
    """A new repository with a work tree. Raises `Unusable` if git cannot make it."""
    answer = run_git(["init", "--quiet", "--template=", f"--initial-branch={check_branch(branch)}", "."], folder)
    if answer.code != 0:
        shutil.rmtree(folder / ".git", ignore_errors=True)
        raise Unusable(f"cannot make a repository in {folder}: {answer.reason}", "name a folder that can be written to")
    return Repository(folder)


def _entry(record: bytes) -> TreeEntry:
    head, _, path = record.partition(b"\t")
    mode, _, blob, size = head.decode("ascii").split()
    return TreeEntry(mode, blob, 0 if size == "-" else int(size), path.decode(errors="backslashreplace"))


def _commit_info(fields: list[str]) -> CommitInfo:
    commit, parents, author, seconds, subject, body = fields
    # A crafted commit may carry a time beyond what a calendar holds.
    at = datetime.fromtimestamp(min(max(int(seconds or 0), 0), 253_402_300_799), UTC)
    return CommitInfo(commit.strip(), tuple(parents.split()), author, at, subject, body.strip())

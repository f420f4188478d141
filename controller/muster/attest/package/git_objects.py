"""Git objects that prove what a commit held: the commit, the trees along a path, and the file.

An object's id is the hash of its bytes, so that a chain of them needs nobody's word. Objects are kept as git hashes
them: `<kind> <size>`, a zero byte, the content. Ids of 40 digits are SHA-1, of 64 SHA-256 (git's
`Documentation/technical/hash-function-transition`). Members are bound by the package's signature as well, which does
not rest on SHA-1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Literal

from muster.kinds.errors import Refused

Kind = Literal["commit", "tree", "blob"]

_HINT: Final = "export the package again, from a repository that holds the whole history"
_TREE: Final = re.compile(rb"tree ([0-9a-f]{40}|[0-9a-f]{64})\n((?:parent [0-9a-f]{40,64}\n)*)")
_COMMITTER: Final = re.compile(rb"^committer [^\n]* (-?[0-9]{1,12}) [+-][0-9]{4}$", re.MULTILINE)
_AUTHOR: Final = re.compile(rb"^author ([^\n]*) -?[0-9]{1,12} [+-][0-9]{4}$", re.MULTILINE)
_LARGEST_TREE: Final = 100_000
_MOST_STEPS: Final = 100_000


def framed(kind: Kind, content: bytes) -> bytes:
    """An object's bytes as git hashes them."""
    return b"%s %d\0" % (kind.encode(), len(content)) + content


def object_id(data: bytes, length: int) -> str:
    """The id of an object's bytes, of 40 or 64 digits."""
    # Git chose SHA-1; nothing here rests on it alone.
    return (hashlib.sha256(data) if length == 64 else hashlib.sha1(data, usedforsecurity=False)).hexdigest()


class Objects:
    """Objects by id. Each is hashed when it is read; `get` raises `Refused` for one that is missing or altered."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self._objects = objects
        self._trees: dict[str, dict[str, tuple[str, str]]] = {}

    def get(self, name: str, kind: Kind) -> bytes:
        """The content of an object."""
        data = self._objects.get(name)
        if data is None:
            raise Refused(f"the git object {name} is not in the package", _HINT)
        head, zero, content = data.partition(b"\0")
        if not zero or head != b"%s %d" % (kind.encode(), len(content)) or object_id(data, len(name)) != name:
            raise Refused(f"{name} is not the git object that it is called", _HINT)
        return content

    def commit(self, name: str) -> bytes:
        """A commit as git stores it."""
        return self.get(name, "commit")

    def ancestors(self, commit: str) -> set[str]:
        """The commit, and those of its ancestors to which a chain of commits leads that are all there."""
        found, waiting = {commit}, [commit]
        while waiting:
            for parent in parents_of(self.commit(waiting.pop())):
                if parent in self._objects and parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        return found

    def file(self, commit: str, path: str) -> str | None:
        """The blob id of a regular file in a commit; None if the commit has none there."""
        mode, blob = self._entry(commit, path)
        return blob if mode in ("100644", "100755") else None

    def below(self, commit: str, path: str, besides: str) -> Iterator[str]:
        """Paths of everything in a commit that is no folder, at or below a path; what begins with `besides` is not
        looked into. Raises `Refused` if there is no end of it: a tree may name the same tree twice, at every level.
        """
        waiting = [(path, *self._entry(commit, path))]
        for _ in range(_MOST_STEPS):
            if not waiting:
                return
            name, mode, number = waiting.pop()
            if mode and mode != "40000":
                yield name
            elif mode and not f"{name}/".startswith(besides):
                waiting += [(f"{name}/{part}", *entry) for part, entry in self._tree(number).items()]
        raise Refused(f"commit {commit} holds more than {_MOST_STEPS} files below {path}", "keep other files elsewhere")

    def _entry(self, commit: str, path: str) -> tuple[str, str]:
        """Mode and id of what stands at a path; empty if nothing does."""
        current, parts = tree_of(self.commit(commit)), path.split("/")
        for part in parts[:-1]:
            mode, current = self._tree(current).get(part, ("", ""))
            if mode != "40000":
                return "", ""
        return self._tree(current).get(parts[-1], ("", ""))

    def _tree(self, name: str) -> dict[str, tuple[str, str]]:
        if name not in self._trees:
            self._trees[name] = entries_of(self.get(name, "tree"), len(name) // 2)
        return self._trees[name]


def entries_of(tree: bytes, width: int) -> dict[str, tuple[str, str]]:
    """Name → mode and id of a tree's entries; ids have `width` bytes. Raises `Refused` for what is no tree."""
    found: dict[str, tuple[str, str]] = {}
    position = 0
    while position < len(tree):
        end = tree.find(b"\0", position)
        mode, space, name = tree[position : max(end, 0)].partition(b" ")
        number = tree[end + 1 : end + 1 + width]
        if end < 0 or not space or len(number) != width or len(found) >= _LARGEST_TREE:
            raise Refused("a git tree in the package cannot be read", _HINT)
        found[name.decode(errors="backslashreplace")] = (mode.decode(errors="replace"), number.hex())
        position = end + 1 + width
    return found


def tree_of(commit: bytes) -> str:
    """The tree that a commit names. Raises `Refused`."""
    found = _TREE.match(commit)
    if found is None:
        raise Refused("a commit in the package names no tree", _HINT)
    return found[1].decode()


def parents_of(commit: bytes) -> tuple[str, ...]:
    """The parents that a commit names, in its head and nowhere else. Raises `Refused`."""
    found = _TREE.match(commit)
    if found is None:
        raise Refused("a commit in the package names no tree", _HINT)
    return tuple(line.removeprefix("parent ") for line in found[2].decode().splitlines())


def described(commit: bytes) -> dict[str, str]:
    """Author, time and subject of a commit."""
    head, _, message = commit.partition(b"\n\n")
    author, seconds = _AUTHOR.search(head), _COMMITTER.search(head)
    # A crafted commit may carry a time beyond what a calendar holds.
    at = datetime.fromtimestamp(min(max(int(seconds[1]) if seconds else 0, 0), 253_402_300_799), UTC)
    return {
        "at": at.isoformat(),
        "author": author[1].decode(errors="replace")[:400] if author else "",
        "subject": message.strip().split(b"\n")[0].decode(errors="replace")[:400],
    }

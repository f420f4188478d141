"""A disk that loses what was not forced to it, in the ways in which file systems do.

It works on a real folder and keeps beside it what would be left after a loss of power: the bytes of a file as they
were at its last sync, the names of a folder as they were at its last sync. What was written without asking this disk
counts as not forced at all.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from muster.artifacts.disk import Disk

LOSSES = {
    "nothing": "only the process ended",
    "all": "names and bytes go back to their last sync",
    "bytes": "names are kept, bytes that were not forced are gone: empty files",
    "torn": "names are kept, of bytes that were not forced half are there and zeros follow",
    "names": "bytes are kept, names go back to the last sync of their folder",
    "mixed": "each name and each file falls one way or the other, independently",
}
Loss = Literal["nothing", "all", "bytes", "torn", "names", "mixed"]


class Bytes(NamedTuple):
    """A file, or a symbolic link to `link`, as it is found after the loss."""

    data: bytes
    mode: int
    link: str | None = None


Tree = dict[str, "Bytes | Tree"]


@dataclass(eq=False)
class File:
    inode: int
    mode: int = 0o644
    link: str | None = None
    now: bytes = b""
    forced: bytes | None = None


@dataclass(eq=False)
class Folder:
    inode: int
    now: dict[str, File | Folder] = field(default_factory=dict)
    forced: dict[str, File | Folder] = field(default_factory=dict)


class QuickDisk(Disk):
    """Forces nothing: for what will not be read after a loss."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_file(self, path: Path) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


class LossyDisk(Disk):
    """`on_call` is called with the name of every call before it is carried out."""

    def __init__(self, root: Path, on_call: Callable[[str], None]) -> None:
        self._root = root
        self._on_call = on_call
        self._open: dict[int, File] = {}
        self.unasked: set[str] = set()
        """Top-level names below which something was written without asking this disk."""
        self._tree = Folder(root.stat().st_ino)
        self._look(self._tree, root)
        self._force_all(self._tree)
        self.unasked.clear()

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        self._on_call("open")
        descriptor = super().open(path, flags, mode)
        folder = self._folder(path.parent)
        inode = os.fstat(descriptor).st_ino
        file = folder.now.get(path.name)
        if file is None or file.inode != inode:
            file = folder.now[path.name] = File(inode, mode)
        self._open[descriptor] = file
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        self._on_call("write")
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._on_call("sync file")
        self._force(self._open[descriptor], Path(f"/proc/self/fd/{descriptor}"))

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor)
        super().close(descriptor)

    def sync_file(self, path: Path) -> None:
        self._on_call("sync file")
        folder = self._folder(path.parent)
        self._look(folder, path.parent)
        self._force(folder.now[path.name], path)

    def sync_folder(self, folder: Path) -> None:
        self._on_call("sync folder")
        node = self._folder(folder)
        self._look(node, folder)
        node.forced = dict(node.now)

    def rename(self, source: Path, target: Path) -> None:
        self._on_call("rename")
        super().rename(source, target)
        node = self._folder(source.parent).now.pop(source.name)
        self._folder(target.parent).now[target.name] = node

    def link(self, source: Path, target: Path) -> None:
        self._on_call("link")
        super().link(source, target)
        self._folder(target.parent).now[target.name] = self._folder(source.parent).now[source.name]

    def unlink(self, path: Path) -> None:
        self._on_call("unlink")
        super().unlink(path)
        if path.parent.is_dir():
            self._folder(path.parent).now.pop(path.name, None)

    def mkdir(self, folder: Path) -> None:
        self._on_call("make folder")
        super().mkdir(folder)
        self._folder(folder.parent).now[folder.name] = Folder(folder.stat().st_ino)

    def rmdir(self, folder: Path) -> None:
        self._on_call("remove folder")
        super().rmdir(folder)
        self._folder(folder.parent).now.pop(folder.name, None)

    def look(self) -> None:
        """Take note of everything that lies in the folder now, before `left` is asked."""
        self._look(self._tree, self._root)

    def left(self, loss: Loss, seed: int) -> Tree:
        """What would be found now, after this loss."""
        return _left(self._tree, loss, random.Random(f"{loss}/{seed}"))

    def _folder(self, path: Path) -> Folder:
        node = self._tree
        for name in path.relative_to(self._root).parts:
            found = node.now.get(name)
            if not isinstance(found, Folder):
                self._look(node, self._root)
                found = node.now[name]
            assert isinstance(found, Folder)
            node = found
        return node

    def _force(self, file: File | Folder, path: Path) -> None:
        assert isinstance(file, File)
        file.now = file.forced = path.read_bytes()
        file.mode = path.stat().st_mode & 0o777

    def _look(self, folder: Folder, path: Path) -> None:
        """Bring the tree up to what lies in the real folder."""
        found: dict[str, File | Folder] = {}
        for entry in os.scandir(path):
            node, status = folder.now.get(entry.name), entry.stat(follow_symlinks=False)
            if node is None or node.inode != status.st_ino:
                self.unasked.add(Path(entry.path).relative_to(self._root).parts[0])
                node = Folder(status.st_ino) if entry.is_dir(follow_symlinks=False) else File(status.st_ino)
            found[entry.name] = node
            if isinstance(node, Folder):
                self._look(node, Path(entry.path))
            elif entry.is_symlink():
                node.link = str(Path(entry.path).readlink())
            else:
                node.now, node.mode = Path(entry.path).read_bytes(), status.st_mode & 0o777
        folder.now = found

    def _force_all(self, folder: Folder) -> None:
        folder.forced = dict(folder.now)
        for node in folder.now.values():
            if isinstance(node, Folder):
                self._force_all(node)
            else:
                node.forced = node.now


def _left(folder: Folder, loss: Loss, dice: random.Random) -> Tree:
    tree: Tree = {}
    for name in sorted({*folder.now, *folder.forced}):
        goes_back = loss in ("all", "names") or (loss == "mixed" and dice.random() < 0.5)
        node = (folder.forced if goes_back else folder.now).get(name)
        if isinstance(node, Folder):
            tree[name] = _left(node, loss, dice)
        elif node is not None:
            tree[name] = Bytes(_bytes_left(node, loss, dice), node.mode, node.link)
    return tree


def _bytes_left(file: File, loss: Loss, dice: random.Random) -> bytes:
    if loss == "mixed":
        loss = dice.choice(("names", "bytes", "torn"))
    if loss in ("nothing", "names") or file.now == file.forced:
        return file.now
    forced = file.forced or b""
    if loss in ("all", "bytes"):
        return forced
    kept = len(forced) if file.now.startswith(forced) else 0
    half = kept + (len(file.now) - kept) // 2
    return file.now[:half] + bytes(len(file.now) - half)


def lay_out(tree: Tree, folder: Path) -> None:
    """Write a tree as it is found after a loss."""
    folder.mkdir(mode=0o700)
    for name, node in tree.items():
        if isinstance(node, Bytes):
            if node.link is not None:
                (folder / name).symlink_to(node.link)
                continue
            (folder / name).write_bytes(node.data)
            (folder / name).chmod(node.mode)
        else:
            lay_out(node, folder / name)

"""Disks that refuse, and one that keeps account of how much lies on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lossy_disk import QuickDisk


@dataclass
class RefusingDisk(QuickDisk):
    """From its `after`-th writing call on, every one raises this error; None: it refuses nothing."""

    error: int | None = None
    after: int = 0
    refused: int = 0

    def _ask(self) -> None:
        self.after -= 1
        if self.error is not None and self.after < 0:
            self.refused += 1
            raise OSError(self.error, "the simulated disk refuses")

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        self._ask()
        return super().open(path, flags, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        self._ask()
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._ask()
        super().sync(descriptor)

    def link(self, source: Path, target: Path) -> None:
        self._ask()
        super().link(source, target)

    def mkdir(self, folder: Path) -> None:
        self._ask()
        super().mkdir(folder)

    def rename(self, source: Path, target: Path) -> None:
        self._ask()
        super().rename(source, target)


class CountingDisk(QuickDisk):
    """`most`: bytes that lay below the folder at once, whenever a file was written to its end."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.most = 0

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        seen = {}
        for path in self._root.rglob("*"):
            status = path.lstat()
            if not path.is_dir():
                seen[status.st_ino] = status.st_size
        self.most = max(self.most, sum(seen.values()))

"""The disk: every call by which a program changes what it finds after a restart.

Each of them may be the last one. A caller that must survive that keeps the order of `durable`; a test puts a disk in
this one's place that loses what was not forced.
"""

from __future__ import annotations

import os
from pathlib import Path


class Disk:
    """The operating system's disk. Every method raises `OSError`."""

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        """A descriptor to write with; links are not followed. `flags` as for `os.open`, without the access mode."""
        return os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of `data`."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def sync(self, descriptor: int) -> None:
        """Force a file's bytes to disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Give a descriptor back."""
        os.close(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Force a folder's names to disk."""
        self.sync_file(folder)

    def sync_file(self, path: Path) -> None:
        """Force to disk what somebody else wrote to a file."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or folder another name; a file of that name is replaced in one step."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name."""
        os.link(source, target)

    def unlink(self, path: Path) -> None:
        """Remove a file or link, if it is there."""
        path.unlink(missing_ok=True)

    def mkdir(self, folder: Path) -> None:
        """Make a folder."""
        folder.mkdir()

    def rmdir(self, folder: Path) -> None:
        """Remove an empty folder."""
        folder.rmdir()


DISK = Disk()

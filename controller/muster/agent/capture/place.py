"""Where samples wait: the folder `capture` of a device's folder, for its owner alone.

consent.json            which purposes somebody consented to, and withdrawals that the server has yet to hear of
terms.json              what the newest desired documents declare, by model
settings.json           locale, and how the device is asked whether it charges and pays for its connection
records/<place>-<id>    what is known of a sample; the place is its number in the order of taking
contents/<id>           the elements of its frame

A sample is there exactly while its record is: content without a record is what a crash left, and is swept away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from muster.agent.folder import DeviceFolder
from muster.artifacts.disk import DISK, Disk
from muster.artifacts.durable import make_folder
from muster.kinds.errors import Refused, TryAgain

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class CapturePlace:
    """Paths below one device's folder, and the disk that it lies on."""

    path: Path
    disk: Disk = field(default=DISK, compare=False, repr=False)

    @classmethod
    def of(cls, folder: DeviceFolder) -> CapturePlace:
        """That of a device. Makes nothing."""
        return cls(folder.path / "capture", folder.disk)

    @property
    def consent(self) -> Path:
        """Who consented to what."""
        return self.path / "consent.json"

    @property
    def terms(self) -> Path:
        """What is declared."""
        return self.path / "terms.json"

    @property
    def settings(self) -> Path:
        """How to ask the device; written by its owner."""
        return self.path / "settings.json"

    @property
    def records(self) -> Path:
        """What is known of samples."""
        return self.path / "records"

    @property
    def contents(self) -> Path:
        """Their contents."""
        return self.path / "contents"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder against other processes and threads, making it if it is missing. Never while sending.

        Raises `TryAgain` if the disk refuses, `Refused` if others can enter it.
        """
        try:
            for folder in (self.path, self.records, self.contents):
                self._make(folder)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise TryAgain(f"cannot hold {self.path}: {error.strerror}", "correct the permissions") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _make(self, folder: Path) -> None:
        """Raises `OSError`, `Refused`."""
        make_folder(folder, self.disk)
        if not folder.lstat().st_mode & _OTHERS:
            return
        # Nothing in it yet: new, or a stop came between the two.
        if any(folder.iterdir()):
            raise Refused(f"{folder} is open to others", f"if nobody else read what is in it: chmod 0700 {folder}")
        folder.chmod(0o700)

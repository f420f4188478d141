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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from muster.agent.folder import DeviceFolder
from muster.attest.private_files import make_private_folder
from muster.kinds.errors import TryAgain


@dataclass(frozen=True)
class CapturePlace:
    """Paths below one device's folder."""

    path: Path

    @classmethod
    def of(cls, folder: DeviceFolder) -> CapturePlace:
        """That of a device. Makes nothing."""
        return cls(folder.path / "capture")

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
        for folder in (self.path, self.records, self.contents):
            make_private_folder(folder)
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise TryAgain(f"cannot lock {self.path}: {error.strerror}", "correct the permissions") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

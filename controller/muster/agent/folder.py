"""The folder of one device: every path that the agent uses.

identity.json  secret  root.json     who the device is, and what it trusts first
secret.next                          another secret, until the server has it
labels.json                          labels that people set, which count before the device's own
journal  journal.1                   how far it came, and the state before
slots/<hex>/                         verified artifacts, unpacked, with their signature
staging/                             downloads under way
tuf/                                 cache of TUF's client
frames.tensors                       frames to replay, if the device has no other camera
capture/                             samples for purposes that somebody consented to
application.json                     figures of the application beside the agent, which writes them
sessions/                            what the application tells of the session that answers its inputs
predictions/                         the log of predictions, written by the application
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from muster.artifacts.disk import DISK, Disk
from muster.kinds.errors import Refused, TryAgain, Unusable


@dataclass(frozen=True)
class DeviceFolder:
    """Paths below one folder, and the disk that it lies on."""

    path: Path
    disk: Disk = field(default=DISK, compare=False, repr=False)

    @property
    def identity(self) -> Path:
        """Id, class, labels, models, server."""
        return self.path / "identity.json"

    @property
    def secret(self) -> Path:
        """What the device proves itself with; mode 0600."""
        return self.path / "secret"

    @property
    def next_secret(self) -> Path:
        """Another secret, while the server may not have it yet; mode 0600."""
        return self.path / "secret.next"

    @property
    def set_labels(self) -> Path:
        """Labels that people set, as the server last told."""
        return self.path / "labels.json"

    @property
    def root(self) -> Path:
        """Trusted TUF root, given at enrolment."""
        return self.path / "root.json"

    @property
    def journal(self) -> Path:
        """How far the device came."""
        return self.path / "journal"

    @property
    def journal_backup(self) -> Path:
        """The journal before its last change."""
        return self.path / "journal.1"

    @property
    def slots(self) -> Path:
        """Verified artifacts."""
        return self.path / "slots"

    @property
    def staging(self) -> Path:
        """Downloads under way."""
        return self.path / "staging"

    @property
    def tuf(self) -> Path:
        """Metadata that was verified."""
        return self.path / "tuf"

    @property
    def frames(self) -> Path:
        """Frames to replay."""
        return self.path / "frames.tensors"

    @property
    def application(self) -> Path:
        """What the application beside the agent tells."""
        return self.path / "application.json"

    @property
    def sessions(self) -> Path:
        """What the application tells of its sessions."""
        return self.path / "sessions"

    @property
    def predictions(self) -> Path:
        """The log of predictions."""
        return self.path / "predictions"

    @property
    def lock(self) -> Path:
        """Held by the agent that runs."""
        return self.path / "lock"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, so that a second agent on it is refused. Raises `Refused`, `TryAgain`."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise TryAgain(f"cannot lock {self.path}: {error.strerror}", "correct the permissions") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise Refused(f"another agent runs on {self.path}", "stop it first, or give another folder") from error
        finally:
            os.close(descriptor)


def is_held(lock: Path) -> bool:
    """True if a process holds this lock. Raises `OSError` if there is no such file."""
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_bounded(path: Path, limit: int) -> bytes:
    """A plain file of at most `limit` bytes. Raises `Unusable`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise Unusable(f"{path} has more than {limit} bytes")
    return data

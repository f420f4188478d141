"""What an application tells the agent of the session that answers its inputs: sessions/<model>.json in the device's
folder, replaced as a whole, and a lock beside it that the application holds as long as it lives.

While the lock is held, the agent reports this session and not its own: the digest that is reported is of the bytes
that the session loaded. What a process left behind that is gone is not read. Nothing here is forced to disk, since it
says nothing that outlives the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from muster.agent.folder import DeviceFolder, is_held, read_bounded
from muster.agent.statistics import Figures
from muster.artifacts.durable import make_folder
from muster.kinds.digest import Digest, ErrorCode, ExactVersion
from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.kinds.resource import AsTuple, Declared
from muster.kinds.telemetry import Count, Milliseconds, Ppm

LIMIT = 64 * 1024
_TRIES = 20
_PAUSE = 0.02
"""Seconds. The agent holds the lock for a moment when it looks whether somebody else does."""


class Loaded(Declared):
    """The session, and what was counted since it was switched in."""

    artifact: Digest
    model_hash: Digest
    config_version: Digest
    delegate: Annotated[str, Field(max_length=64)]
    load_time_ms: Milliseconds
    answers: Count
    confident: Count
    errors: Count
    recent_confident_ppm: Ppm | None
    p50_ms: Milliseconds | None
    p95_ms: Milliseconds | None
    confidence_histogram: Annotated[tuple[Count, ...], AsTuple, Field(min_length=10, max_length=10)] | None

    def figures(self) -> Figures:
        """As the agent counts its own."""
        return Figures(
            answers=self.answers,
            confident=self.confident,
            errors=self.errors,
            recent_confident_ppm=self.recent_confident_ppm,
            p50_ms=self.p50_ms,
            p95_ms=self.p95_ms,
            confidence_histogram=self.confidence_histogram,
        )


class RefusedSlot(Declared):
    """What the application should run and cannot."""

    artifact: Digest
    error_code: ErrorCode


class Session(Declared):
    """One application's, of one model. `inferences` and `dropped_frames` are since it opened the model."""

    runtime_version: ExactVersion
    loaded: Loaded | None
    refused: RefusedSlot | None
    inferences: Count
    dropped_frames: Count
    peak_ram_mb: Annotated[float, Field(ge=0, le=1e9)]


@contextlib.contextmanager
def held_session(folder: DeviceFolder, model: str) -> Iterator[None]:
    """Be the application of a model. Raises `Refused` if another process is, `TryAgain` if the disk refuses."""
    path = _lock(folder, model)
    try:
        make_folder(path.parent, folder.disk)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise TryAgain(f"cannot lock {path}: {error.strerror}", "correct the permissions") from error
    try:
        if not _is_taken(descriptor):
            hint = "share one open model between the threads of one process"
            raise Refused(f"another application has {model} of {folder.path} open", hint)
        yield
        with contextlib.suppress(OSError):
            folder.disk.unlink(_file(folder, model))
    finally:
        os.close(descriptor)


def write_session(folder: DeviceFolder, model: str, session: Session) -> None:
    """Replace what is told. Raises `OSError`."""
    disk, path = folder.disk, _file(folder, model)
    temporary = path.with_suffix(".incoming")
    descriptor = disk.open(temporary, os.O_CREAT | os.O_TRUNC)
    try:
        disk.write(descriptor, session.model_dump_json().encode())
    finally:
        disk.close(descriptor)
    disk.rename(temporary, path)


def read_session(folder: DeviceFolder, model: str) -> Session | None:
    """What the application tells; None if there is none, or it tells nothing that can be read."""
    try:
        if not is_held(_lock(folder, model)):
            return None
        return Session.model_validate_json(read_bounded(_file(folder, model), LIMIT))
    except (OSError, Unusable, ValidationError):
        return None


def _file(folder: DeviceFolder, model: str) -> Path:
    return folder.sessions / f"{model}.json"


def _lock(folder: DeviceFolder, model: str) -> Path:
    return folder.sessions / f"{model}.lock"


def _is_taken(descriptor: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
    return False

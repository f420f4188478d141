"""The log of predictions: one line of JSON for each answer, with the release and the generation that gave it.

    {"number": 1, "at": "2026-03-02T12:00:00.000000+00:00", "release": "meter-reader/1.1.0", "generation": 7,
     "modelHash": "sha256:…", "configVersion": "sha256:…", "input": "sha256:…", "label": "7", "confidence": 0.98,
     "confident": true}

`input` is the digest of `"<numpy type>|<shape>|"` and the values of the frame in C order: it proves which input was
answered to whoever has that input, and holds nothing of it. Lines are appended in one write each. Numbers rise by one,
over restarts too, so that a line that is missing (a full disk, a loss of power) shows. predictions/<model>.jsonl is the
newest file, .1 the one before; what is older than `FILES` files is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from muster.agent.folder import DeviceFolder
from muster.artifacts.durable import make_folder
from muster.artifacts.tensors import Tensor

LIMIT = 8 * 2**20
"""Bytes of one file."""
FILES = 4
_TAIL = 4_096
"""No line is longer."""


def _wall() -> datetime:
    return datetime.now(UTC)


class PredictionLog:
    """The log of one model, opened when it is first written. Safe between threads; one process at a time."""

    def __init__(
        self, folder: DeviceFolder, model: str, limit: int = LIMIT, clock: Callable[[], datetime] = _wall
    ) -> None:
        self._disk = folder.disk
        self._path = folder.predictions / f"{model}.jsonl"
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self.lost = 0
        """Lines that the disk refused since the log was opened."""
        self._number = 0
        self._size = 0
        self._descriptor: int | None = None

    def write(self, frame: Tensor, said: dict[str, object]) -> None:
        """Log one answer. A line that the disk refuses is counted in `lost`, and its number is missing in the log."""
        shown = hashlib.sha256(f"{frame.dtype.str}|{frame.shape}|".encode())
        shown.update(frame.tobytes())
        with self._lock:
            try:
                descriptor = self._descriptor if self._descriptor is not None else self._begin()
            except OSError:
                self.lost += 1
                return
            self._number += 1
            line = {"number": self._number, "at": self._clock().isoformat(timespec="microseconds"), **said}
            data = json.dumps({**line, "input": f"sha256:{shown.hexdigest()}"}, separators=(",", ":")).encode() + b"\n"
            try:
                if self._size and self._size + len(data) > self._limit:
                    descriptor = self._rotate(descriptor)
                self._disk.write(descriptor, data)
                self._size += len(data)
            except OSError:
                self.lost += 1

    def close(self) -> None:
        """Force what was logged to disk."""
        with self._lock:
            if self._descriptor is None:
                return
            try:
                self._disk.sync(self._descriptor)
            except OSError:
                self.lost += 1
            finally:
                self._disk.close(self._descriptor)
                self._descriptor = None

    def _begin(self) -> int:
        make_folder(self._path.parent, self._disk)
        self._number = (_last_number(self._path) or _last_number(self._older(1))) + self.lost
        return self._open()

    def _open(self) -> int:
        descriptor = self._disk.open(self._path, os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(descriptor).st_size
        if self._size and not _tail(self._path).endswith(b"\n"):
            # A line that was cut off by a loss of power stands alone.
            self._disk.write(descriptor, b"\n")
        self._descriptor = descriptor
        return descriptor

    def _rotate(self, full: int) -> int:
        self._disk.sync(full)
        for place in range(FILES - 1, 0, -1):
            newer = self._older(place - 1) if place > 1 else self._path
            if newer.exists():
                self._disk.rename(newer, self._older(place))
        descriptor = self._open()
        self._disk.close(full)
        return descriptor

    def _older(self, place: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{place}")


def _last_number(path: Path) -> int:
    for line in reversed(_tail(path).splitlines()):
        try:
            return int(json.loads(line)["number"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return 0


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            return file.read(_TAIL)
    except FileNotFoundError:
        return b""

"""An artifact's tar to read from at any place, whether it lies there packed or unpacked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from muster.artifacts.bundle import LIMITS, frame_files
from muster.kinds.errors import Refused


@dataclass(frozen=True)
class _Stretch:
    """Bytes [start, end) of the tar: those of an open file, or these."""

    start: int
    end: int
    source: int | bytes


@dataclass(frozen=True)
class OpenArtifact:
    """`places`: where the bytes of each file begin, and how many they are."""

    size: int
    places: Mapping[str, tuple[int, int]]
    _stretches: tuple[_Stretch, ...]

    def read(self, start: int, length: int) -> bytes:
        """The tar's bytes from `start` on. Raises `OSError`, `Refused` if they are not there."""
        pieces = []
        for stretch in self._stretches:
            first, last = max(start, stretch.start), min(start + length, stretch.end)
            if first < last:
                pieces.append(_read(stretch, first, last - first))
        data = b"".join(pieces)
        if len(data) != length:
            raise Refused("an artifact is shorter than it was")
        return data


@contextlib.contextmanager
def open_files(folder: Path) -> Iterator[OpenArtifact]:
    """Of the five files in a folder, the tar that they were in. Raises `OSError`, `Refused`."""
    with contextlib.ExitStack() as held:
        descriptors = {}
        for name in LIMITS:
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            descriptors[name] = descriptor
        sizes = {name: os.fstat(descriptor).st_size for name, descriptor in descriptors.items()}
        framed, end = frame_files(sizes)
        place, places, stretches = 0, {}, []
        for name, before in framed:
            begin = place + len(before)
            places[name] = (begin, sizes[name])
            stretches += [
                _Stretch(place, begin, before),
                _Stretch(begin, begin + sizes[name], descriptors[name]),
            ]
            place = begin + sizes[name]
        stretches.append(_Stretch(place, place + len(end), end))
        yield OpenArtifact(place + len(end), places, tuple(stretches))


@contextlib.contextmanager
def open_tar(path: Path, sizes: Mapping[str, int]) -> Iterator[OpenArtifact]:
    """Of a verified tar with files of these sizes. Raises `OSError`, `Refused`."""
    framed, end = frame_files(sizes)
    place, places = 0, {}
    for name, before in framed:
        places[name] = (place + len(before), sizes[name])
        place += len(before) + sizes[name]
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = place + len(end)
        yield OpenArtifact(size, places, (_Stretch(0, size, descriptor),))
    finally:
        os.close(descriptor)


def _read(stretch: _Stretch, start: int, length: int) -> bytes:
    if isinstance(stretch.source, bytes):
        return stretch.source[start - stretch.start :][:length]
    pieces = []
    while length:
        # A call may give less than was asked for.
        piece = os.pread(stretch.source, length, start - stretch.start)
        if not piece:
            break
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return b"".join(pieces)

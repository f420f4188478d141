"""An artifact of its parts: those that the device holds, and as few others as will do.

What comes out is the artifact's own tar, and is verified as if it had come whole. Whatever goes wrong on the way leads
to the whole artifact, in the same round, and the way is not tried again for this offer. Only a line that dies while
bytes still come is waited for: what was fetched is kept, also over a restart. Memory does not grow with the artifact.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from muster.agent.download import PART
from muster.agent.server import TARGETS
from muster.agent.setbacks import Postponed
from muster.agent.trusted import Target
from muster.agent.ways import Route, Wanted, cheapest
from muster.artifacts.deltas import make_part, read_head, whole
from muster.artifacts.disk import Disk
from muster.artifacts.durable import make_folder, remove_tree, write_durably
from muster.artifacts.opened import open_files
from muster.artifacts.splitting import SplitPart, split
from muster.attest.artifact_files import digest_of_file
from muster.kinds.delta import DeltaIndex, Step
from muster.kinds.digest import hex_of
from muster.kinds.errors import MusterError, Refused
from muster.kinds.telemetry import Way

FOLDER = ".parts"
TRIED = ".tried"
"""Suffixes of what lies beside a download while it is made of parts. The second has a byte for every time it was."""
MOST_TRIES = 2
"""The first may have been ended by a loss of power."""

_PACKED = ".zst"
_WHOLE = "whole"
_RESERVE = 2**24


Transfer = tuple[Way, int]
"""How an artifact came, and how many bytes were fetched for it."""


@dataclass(frozen=True)
class Around:
    """What parts are made with. `bases`: artifact → folder of its files, which may be damaged."""

    fetch: Callable[[Target, Path], None]
    bases: Mapping[str, Path]
    free_bytes: Callable[[Path], int]
    disk: Disk


def bring(index: DeltaIndex, place: Path, around: Around) -> Transfer | None:
    """Make the artifact of `index` at `place`, complete and verified. None: it must be fetched as a whole.

    Raises `Postponed` (server_away) if it may go on where it stopped.
    """
    tried, folder = place.with_suffix(TRIED), place.with_suffix(FOLDER)
    tries = _length(tried)
    try:
        if tries >= MOST_TRIES:
            remove_tree(folder, around.disk)
            return None
        with _held(around.bases) as (parts, artifacts):
            full = index.size - _length(place.with_suffix(PART))
            route = cheapest(index, parts, artifacts, lambda file: _fetched(folder, file), full)
            if route is None or not _has_room(index, route, place, around):
                return None
            if not _fetch_all(route, folder, around):
                return None
            # If making it ends the agent, it must not do so for ever.
            write_durably(tried, bytes(tries + 1), disk=around.disk)
            _make(index, route, parts, folder, around.disk)
        _finish(index, folder, place, around.disk)
        with contextlib.suppress(OSError):
            around.disk.unlink(tried)
        return route.way, sum(file.length for file in route.files)
    except Postponed as setback:
        if setback.error_code == "server_away":
            raise
        _give_up(tried, folder, around.disk)
    except Exception:  # noqa: BLE001 - whatever it is, the whole artifact has no part in it
        _give_up(tried, folder, around.disk)
    return None


def _give_up(tried: Path, folder: Path, disk: Disk) -> None:
    with contextlib.suppress(MusterError):
        write_durably(tried, bytes(MOST_TRIES), disk=disk)
    with contextlib.suppress(OSError):
        remove_tree(folder, disk)


@contextlib.contextmanager
def _held(bases: Mapping[str, Path]) -> Iterator[tuple[dict[str, SplitPart], set[str]]]:
    """Parts by the digest of the bytes that are there now, and the artifacts that can be read at all."""
    parts: dict[str, SplitPart] = {}
    artifacts = set()
    with contextlib.ExitStack() as opened:
        for artifact, folder in bases.items():
            with contextlib.suppress(OSError, Refused):
                found = split(opened.enter_context(open_files(folder)))
                parts |= {part.digest: part for part in found.parts}
                artifacts.add(artifact)
        yield parts, artifacts


def _has_room(index: DeltaIndex, route: Route, place: Path, around: Around) -> bool:
    """Packed, unpacked, and what it is made of."""
    make_folder(place.parent, around.disk)
    needed = 2 * index.size + sum(file.length for file in route.files) + _RESERVE
    return around.free_bytes(place.parent) >= needed


def _fetch_all(route: Route, folder: Path, around: Around) -> bool:
    """False if a line that does not come forward is not worth waiting for. Raises `Postponed`."""
    before = sum(_fetched(folder, file) for file in route.files)
    try:
        for file in route.files:
            place = _place(folder, file)
            if _length(place) != file.length:
                around.fetch(Target(f"{TARGETS}{file.path}", file.length, hex_of(file.digest)), place)
    except Postponed as setback:
        if setback.error_code != "server_away" or sum(_fetched(folder, file) for file in route.files) > before:
            raise
        return False
    return True


def _make(index: DeltaIndex, route: Route, parts: Mapping[str, SplitPart], folder: Path, disk: Disk) -> None:
    """Write the artifact beside what it is made of. Raises `OSError`, `Refused`."""
    make_folder(folder, disk)
    streams = _Streams(_sources(index, route, parts, folder))
    descriptor = disk.open(folder / _WHOLE, os.O_CREAT | os.O_TRUNC)
    try:
        for number, length in index.layout:
            for data in streams.take(number, length):
                disk.write(descriptor, data)
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)


_Source = Callable[[], Iterator[bytes]]


def _sources(index: DeltaIndex, route: Route, parts: Mapping[str, SplitPart], folder: Path) -> list[_Source]:
    """Of every part, from its beginning, as often as it is asked for."""
    frames = {}
    if route.since is not None:
        path = _place(folder, route.files[0])
        with path.open("rb") as file:
            steps, begin = read_head(file).steps, file.tell()
        for step in steps:
            frames[step.part] = (path, begin, step)
            begin += step.length
    sources: list[_Source] = []
    for number, part in enumerate(index.parts):
        if number in frames:
            sources.append(_from_delta(*frames[number], part.length, parts))
        elif part.digest in parts:
            sources.append(parts[part.digest].stream)
        else:
            packed = folder / f"{hex_of(part.packed)}{_PACKED}"
            sources.append(_from_packed(packed, part.length))
    return sources


def _from_delta(path: Path, begin: int, step: Step, length: int, parts: Mapping[str, SplitPart]) -> _Source:
    def stream() -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(begin)
            old = parts[step.old] if step.old is not None else None
            yield from make_part(step, length, old, _bounded(file, step.length))

    return stream


def _from_packed(path: Path, length: int) -> _Source:
    def stream() -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from whole(length, file.read)

    return stream


def _bounded(file: BinaryIO, length: int) -> Callable[[int], bytes]:
    left = length

    def read(most: int) -> bytes:
        nonlocal left
        data = file.read(min(most, left))
        left -= len(data)
        return data

    return read


class _Streams:
    """Bytes of parts in the order of the layout: part 0 goes on where it stopped, the others begin again."""

    def __init__(self, sources: Sequence[_Source]) -> None:
        self._sources = sources
        self._rest = sources[0]()
        self._waiting = b""

    def take(self, number: int, length: int) -> Iterator[bytes]:
        if number:
            yield from self._sources[number]()
            return
        while length:
            # An end before its time leaves an artifact that is too short, which does not verify.
            self._waiting = self._waiting or next(self._rest, b"")
            if not self._waiting:
                raise Refused("a part is shorter than declared")
            yield self._waiting[:length]
            taken = min(length, len(self._waiting))
            self._waiting, length = self._waiting[taken:], length - taken


def _finish(index: DeltaIndex, folder: Path, place: Path, disk: Disk) -> None:
    made = folder / _WHOLE
    if digest_of_file(made) != index.artifact:
        raise Refused("the parts do not make the artifact")
    disk.rename(made, place)
    disk.sync_folder(place.parent)
    with contextlib.suppress(OSError):
        remove_tree(folder, disk)


def _place(folder: Path, file: Wanted) -> Path:
    return folder / f"{hex_of(file.digest)}{_PACKED}"


def _fetched(folder: Path, file: Wanted) -> int:
    """Bytes of a file that are here, complete or not."""
    place = _place(folder, file)
    return max(_length(place), _length(place.with_suffix(PART)))


def _length(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0

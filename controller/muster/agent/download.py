"""Downloads that go on where they stopped, also after a restart.

What is fetched lies under a name that contains its digest, so a part of it stays good for as long as the name: the
length bounds it, the digest decides at the end, and a part that turns out wrong is thrown away.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from muster.agent.server import Answer, Server
from muster.agent.setbacks import Postponed, disk_full, server_away
from muster.agent.trusted import Target
from muster.artifacts.durable import make_folder, sync_folder

_CHUNK = 2**20
_RESERVE = 2**24
"""Bytes that stay free for the journal and for others on the device."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


def fetch(server: Server, target: Target, place: Path, free_bytes: Callable[[Path], int]) -> None:
    """Bring a target to `place`, complete and verified, or leave `place` absent.

    Raises `Postponed`: server_away (what came is kept), bad_digest (it is not), disk_full.
    """
    part = place.with_suffix(".part")
    try:
        make_folder(place.parent)
        have = _length(part)
        if have > target.length:
            part.unlink()
            have = 0
        # Packed and unpacked, it is there twice until it is verified.
        if free_bytes(place.parent) < 2 * target.length - have + _RESERVE:
            raise disk_full(f"too little room for an artifact of {target.length} bytes")
        if have < target.length:
            _continue(server, target, part, have)
        _finish(part, target, place)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise disk_full(f"cannot write {part}: {error.strerror}") from error


def is_complete(place: Path) -> bool:
    """True if `fetch` finished there."""
    return place.is_file() and not place.is_symlink()


def _continue(server: Server, target: Target, part: Path, have: int) -> None:
    headers = {"Range": f"bytes={have}-"} if have else {}
    with server.get(target.path, headers) as answer:
        if have and answer.status == 206 and _continues(answer, have, target.length):
            flags = os.O_APPEND
        elif answer.status == 200:
            have, flags = 0, os.O_TRUNC
        elif have and answer.status in (206, 416):
            part.unlink(missing_ok=True)
            raise server_away("the server does not continue the download where it stopped")
        else:
            raise server_away(f"the server answers {answer.status} for an artifact", answer.retry_after)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o644)
        with os.fdopen(descriptor, "ab" if flags == os.O_APPEND else "wb") as file:
            try:
                _copy(answer, file, target.length - have)
            finally:
                file.flush()
                os.fsync(file.fileno())
    if _length(part) < target.length:
        raise server_away("the download stopped before its end")


def _copy(answer: Answer, file: BinaryIO, missing: int) -> None:
    for chunk in answer.chunks:
        # One byte too many is enough for `_finish` to throw the download away.
        file.write(chunk[: missing + 1])
        missing -= len(chunk)
        if missing < 0:
            return


def _continues(answer: Answer, have: int, length: int) -> bool:
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    return found is not None and (int(found[1]), int(found[2]), int(found[3])) == (have, length - 1, length)


def _finish(part: Path, target: Target, place: Path) -> None:
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if _length(part) != target.length or digest.hexdigest() != target.sha256:
        part.unlink()
        raise Postponed("bad_digest", f"the download is not the published artifact {target.sha256[:12]}")
    part.replace(place)
    sync_folder(place.parent)


def _length(path: Path) -> int:
    return path.lstat().st_size if path.exists() else 0

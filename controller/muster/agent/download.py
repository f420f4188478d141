"""Downloads that go on where they stopped, also after a restart.

What is fetched lies under a name that contains its digest, so a part of it stays good for as long as the name: the
length bounds it, the digest decides at the end, and a part that turns out wrong is thrown away.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from muster.agent.server import Answer, Server
from muster.agent.setbacks import Postponed, disk_failed, disk_full, server_away
from muster.agent.trusted import Target
from muster.artifacts.disk import Disk
from muster.artifacts.durable import make_folder
from muster.attest.artifact_files import digest_of_file

PART = ".part"
_RESERVE = 2**24
"""Bytes that stay free for the journal and for others on the device."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


def fetch(server: Server, target: Target, place: Path, free_bytes: Callable[[Path], int], disk: Disk) -> None:
    """Bring a target to `place`, complete and verified, or leave `place` absent.

    Raises `Postponed`: server_away (what came is kept), bad_digest (it is not), disk_full, disk_refused.
    """
    part = place.with_suffix(PART)
    try:
        make_folder(place.parent, disk)
        have = _length(part)
        if have > target.length:
            disk.unlink(part)
            have = 0
        if not fits_disk(target.length, free_bytes(place.parent), have):
            raise disk_full(f"too little room for an artifact of {target.length} bytes")
        if have < target.length:
            _continue(server, target, part, have, disk)
        _finish(part, target, place, disk)
    except OSError as error:
        with contextlib.suppress(OSError):
            disk.unlink(part)
        raise disk_failed(f"cannot write {part}: {error.strerror}", error) from error


def fits_disk(size: int, free: int, have: int = 0) -> bool:
    """True if an artifact of `size` bytes, `have` of which are there, can be fetched.

    Packed and unpacked, it is there twice until it is verified.
    """
    return free >= 2 * size - have + _RESERVE


def is_complete(place: Path, artifact: str) -> bool:
    """True if `fetch` finished there, and the disk kept it. A loss of the disk's must not be laid to the artifact."""
    try:
        return digest_of_file(place) == artifact
    except OSError:
        return False


def _continue(server: Server, target: Target, part: Path, have: int, disk: Disk) -> None:
    headers = {"Range": f"bytes={have}-"} if have else {}
    with server.get(target.path, headers) as answer:
        if have and answer.status == 206 and _continues(answer, have, target.length):
            flags = os.O_APPEND
        elif answer.status == 200:
            have, flags = 0, os.O_TRUNC
        elif have and answer.status in (206, 416):
            disk.unlink(part)
            raise server_away("the server does not continue the download where it stopped")
        else:
            raise server_away(f"the server answers {answer.status} for an artifact", answer.retry_after)
        descriptor = disk.open(part, os.O_CREAT | flags)
        try:
            try:
                _copy(answer, disk, descriptor, target.length - have)
            finally:
                disk.sync(descriptor)
        finally:
            disk.close(descriptor)
    if _length(part) < target.length:
        raise server_away("the download stopped before its end")


def _copy(answer: Answer, disk: Disk, descriptor: int, missing: int) -> None:
    for chunk in answer.chunks:
        # One byte too many is enough for `_finish` to throw the download away.
        disk.write(descriptor, chunk[: missing + 1])
        missing -= len(chunk)
        if missing < 0:
            return


def _continues(answer: Answer, have: int, length: int) -> bool:
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    return found is not None and (int(found[1]), int(found[2]), int(found[3])) == (have, length - 1, length)


def _finish(part: Path, target: Target, place: Path, disk: Disk) -> None:
    if _length(part) != target.length or digest_of_file(part) != f"sha256:{target.sha256}":
        disk.unlink(part)
        raise Postponed("bad_digest", f"the download is not the published artifact {target.sha256[:12]}")
    # The process may have ended between the last byte and forcing it to disk.
    disk.sync_file(part)
    disk.rename(part, place)
    disk.sync_folder(place.parent)


def _length(path: Path) -> int:
    return path.lstat().st_size if path.exists() else 0

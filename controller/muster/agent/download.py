"""Downloads that go on where they stopped, also after a restart.

What is fetched lies under a name that contains its digest. A part goes on from the source that it began from only if
that has the same strong validator still, and from any other because the name is the same; the length bounds it, the
digest decides at the end, and what turns out wrong is thrown away. Then, as when a source fails, the next one is asked.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from muster.agent.server import Answer
from muster.agent.setbacks import AWAY, Postponed, disk_failed, disk_full, server_away
from muster.agent.sources import Source, Sources
from muster.agent.tags import Tag, keep_tag, read_tag, strong
from muster.agent.trusted import Target
from muster.artifacts.disk import Disk
from muster.artifacts.durable import make_folder
from muster.attest.artifact_files import digest_of_file

PART = ".part"
TAG = ".tag"
WRONG = "bad_digest"
_RESERVE = 2**24
"""Bytes that stay free for the journal and for others on the device."""

_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


def fetch(sources: Sources, target: Target, place: Path, free_bytes: Callable[[Path], int], disk: Disk) -> None:
    """Bring a target to `place`, complete and verified, or leave `place` absent.

    Raises `Postponed`: server_away (what came is kept), bad_digest (it is not), disk_full, disk_refused.
    """
    worst: Postponed | None = None
    for source in sources.for_artifacts():
        try:
            _fetch_from(source, target, place, free_bytes, disk)
        except Postponed as setback:
            if setback.error_code not in (AWAY, WRONG):
                raise
            sources.failed(source, setback)
            worst = setback if worst is None or setback.error_code == WRONG else worst
        else:
            return
    raise worst or server_away("there is no server")


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


def _fetch_from(source: Source, target: Target, place: Path, free_bytes: Callable[[Path], int], disk: Disk) -> None:
    part = place.with_suffix(PART)
    try:
        make_folder(place.parent, disk)
        have = _length(part)
        if have > target.length:
            _drop(part, disk)
            have = 0
        if not fits_disk(target.length, free_bytes(place.parent), have):
            raise disk_full(f"too little room for an artifact of {target.length} bytes")
        if have < target.length:
            _continue(source, target, part, have, disk)
        _finish(part, target, place, disk)
    except OSError as error:
        with contextlib.suppress(OSError):
            _drop(part, disk)
        raise disk_failed(f"cannot write {part}: {error.strerror}", error) from error


def _continue(source: Source, target: Target, part: Path, have: int, disk: Disk) -> None:
    tag = read_tag(part.with_suffix(TAG)) if have else None
    have = have if tag else 0
    mine = tag.etag if tag and tag.source == source.url else None
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and mine:
        headers["If-Range"] = mine
    with source.server.get(target.path, headers) as answer:
        etag = strong(answer.headers.get("etag"))
        if answer.status == 200:
            have = 0
            _drop(part, disk)
            keep_tag(part.with_suffix(TAG), Tag(source.url, etag), disk)
        elif have and answer.status in (206, 416):
            if answer.status == 416 or (mine and etag and etag != mine) or not _continues(answer, have, target.length):
                _drop(part, disk)
                raise server_away("the server does not continue the download where it stopped")
        else:
            raise server_away(f"the server answers {answer.status} for an artifact", answer.retry_after)
        _append(answer, part, target.length - have, disk)
    if _length(part) < target.length:
        raise server_away("the download stopped before its end")


def _append(answer: Answer, part: Path, missing: int, disk: Disk) -> None:
    descriptor = disk.open(part, os.O_CREAT | os.O_APPEND)
    try:
        try:
            _copy(answer, disk, descriptor, missing)
        finally:
            disk.sync(descriptor)
    finally:
        disk.close(descriptor)


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
        _drop(part, disk)
        raise Postponed(WRONG, f"the download is not the published artifact {target.sha256[:12]}")
    # The process may have ended between the last byte and forcing it to disk.
    disk.sync_file(part)
    disk.rename(part, place)
    disk.unlink(part.with_suffix(TAG))
    disk.sync_folder(place.parent)


def _drop(part: Path, disk: Disk) -> None:
    disk.unlink(part)
    disk.unlink(part.with_suffix(TAG))


def _length(path: Path) -> int:
    return path.lstat().st_size if path.exists() else 0

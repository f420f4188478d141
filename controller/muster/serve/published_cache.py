"""Published files that devices poll for, answered out of memory: most polls end in a 304 of a few bytes.

Only what is asked for plainly is answered here, and in the words of `PublishedFiles`, whose answer is kept: GET, no
range, a small plain file. Everything else is left to it. That the file on disk is still the one in memory is looked at
for every request, so that a published file counts at once.
"""

from __future__ import annotations

import os
import re
import stat
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from starlette.responses import FileResponse

PREFIX: Final = "/tuf/"
LARGEST: Final = 64 * 1024
MOST: Final = 1_024
"""Files; with `LARGEST`, 64 MiB at most."""

# A name that needs no decoding, and leads nowhere else.
_PLAIN = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/){0,8}[A-Za-z0-9_-][A-Za-z0-9._-]*")
_OTHERWISE = ("range", "if-modified-since", "if-range", "if-match", "if-unmodified-since")

Pairs = list[tuple[str, str]]


class Headers(Protocol):
    """Headers of a request, by lower-case names."""

    def __contains__(self, name: str, /) -> bool: ...

    def get(self, name: str, /) -> str | None:
        """The first of that name."""


@dataclass(frozen=True)
class Kept:
    """A file, and what is said of it. `same` tells it from another one that takes its place."""

    same: tuple[int, int, int]
    tag: str
    body: bytes
    headers: Pairs
    unchanged: Pairs


class PublishedCache:
    """The small files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = f"{folder}/"
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def find(self, path: str, headers: Headers) -> Kept | None:
        """The file that a GET of this path (behind `PREFIX`) asks for; None: to be answered otherwise."""
        try:
            found = os.lstat(self._root + path)
        except (OSError, ValueError):
            return None
        kept = self._kept.get(path)
        if kept is None or kept.same != (found.st_ino, found.st_mtime_ns, found.st_size):
            kept = self._read(path)
        if kept is None or any(name in headers for name in _OTHERWISE):
            return None
        return kept

    def _read(self, path: str) -> Kept | None:
        if not _PLAIN.fullmatch(path):
            return None
        place = self._folder / path
        try:
            if place.resolve() != self._folder.resolve() / path:
                return None
            with place.open("rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
                    return None
                body = file.read(LARGEST + 1)
        except OSError:
            return None
        if len(body) != found.st_size:
            return None
        headers = FileResponse(place, stat_result=found).headers
        kept = Kept(
            same=(found.st_ino, found.st_mtime_ns, found.st_size),
            tag=headers["etag"],
            body=body,
            headers=headers.items(),
            unchanged=[("etag", headers["etag"])],
        )
        self._kept[path] = kept
        self._kept.move_to_end(path)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return kept


def is_unchanged(kept: Kept, condition: str) -> bool:
    """True if If-None-Match names the file: alone, or in a list, strong or weak, as RFC 9110 compares here."""
    if condition == kept.tag:
        return True
    return any(tag.strip().removeprefix("W/") in (kept.tag, "*") for tag in condition.split(","))

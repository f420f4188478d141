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

from muster.serve.published_files import file_headers

PREFIX: Final = "/tuf/"
LARGEST: Final = 64 * 1024
MOST: Final = 1_024
"""Files; with `LARGEST`, 64 MiB at most."""

# A name that needs no decoding, and leads nowhere else.
_PLAIN = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/){0,8}[A-Za-z0-9_-][A-Za-z0-9._-]*")
Pairs = list[tuple[str, str]]


class Headers(Protocol):
    """Headers of a request, by lower-case names."""

    def __contains__(self, name: str, /) -> bool: ...

    def get(self, name: str, /) -> str | None:
        """The first of that name."""


@dataclass(frozen=True)
class Kept:
    """A file, and what is said of it. `same` tells it from another one that takes its place."""

    place: str
    same: tuple[int, int, int]
    tag: str
    body: bytes
    headers: Pairs
    unchanged: Pairs


class PublishedCache:
    """The small files below a folder; of `most` of them, those that were read last."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self._folder = folder
        self._most = most
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, path: str) -> Kept | None:
        """The file of this path (behind `PREFIX`), as it is now; None: it is not for this place to answer."""
        kept = self._kept.get(path)
        if kept is None:
            return self._read(path)
        try:
            found = os.lstat(kept.place)
        except OSError:
            return None
        return kept if kept.same == (found.st_ino, found.st_mtime_ns, found.st_size) else self._read(path)

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
        headers = FileResponse(place, headers=file_headers(path), stat_result=found).headers
        kept = Kept(
            place=str(place),
            same=(found.st_ino, found.st_mtime_ns, found.st_size),
            tag=headers["etag"],
            body=body,
            headers=headers.items(),
            unchanged=[(name, headers[name]) for name in ("etag", "cache-control") if name in headers],
        )
        self._kept[path] = kept
        self._kept.move_to_end(path)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return kept


def answers(kept: Kept, headers: Headers) -> int | None:
    """The status to answer a GET with: 304, 200, or None for one that asks for a part, or by date.

    RFC 9110, 13.2.2: a tag that holds comes before a range, and dates count only without a tag.
    """
    condition = headers.get("if-none-match")
    if condition is not None:
        if condition == kept.tag or _names(condition, kept.tag):
            return 304
    elif "if-modified-since" in headers:
        return None
    return None if "range" in headers else 200


def _names(condition: str, tag: str) -> bool:
    """In a list, or weakly, as tags are compared here."""
    return any(one.strip().removeprefix("W/") in (tag, "*") for one in condition.split(","))

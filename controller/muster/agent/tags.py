"""Which source a part of a download began from, and the strong validator that it gave (RFC 9110, 8.8.1 and 13.1.5)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from muster.agent.folder import read_bounded
from muster.artifacts.disk import Disk
from muster.kinds.errors import Unusable

_LIMIT = 4_096
_STRONG = r'"[\x21\x23-\x7e]{1,256}"'
_strong = re.compile(_STRONG)
_kept = re.compile(rf"([\x21-\x7e]{{0,2048}})\n({_STRONG})?\n")


@dataclass(frozen=True)
class Tag:
    """`etag` is None if the source gave none that is strong: then the name alone, which holds the digest, vouches."""

    source: str
    etag: str | None


def strong(etag: str | None) -> str | None:
    """The tag, if it is a strong one that can be sent back."""
    return etag if etag and _strong.fullmatch(etag) else None


def keep_tag(path: Path, tag: Tag, disk: Disk) -> None:
    """Keep it beside the part, before the part's first byte. Raises `OSError`."""
    descriptor = disk.open(path, os.O_CREAT | os.O_TRUNC)
    try:
        disk.write(descriptor, f"{tag.source}\n{tag.etag or ''}\n".encode())
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)


def read_tag(path: Path) -> Tag | None:
    """The tag; None if there is none that can be read."""
    try:
        found = _kept.fullmatch(read_bounded(path, _LIMIT).decode("ascii"))
    except (Unusable, UnicodeDecodeError):
        return None
    return Tag(found[1], found[2]) if found else None

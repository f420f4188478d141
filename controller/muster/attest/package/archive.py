"""The archive of an evidence package: an uncompressed tar, of which there is exactly one for given members.

Names sorted, mode 0644, owner and time zero, ustar headers, zero padding, two empty blocks at the end. The reader makes
the only header that is allowed from name and size and compares all 512 bytes: any tar program unpacks it, and nothing
else than plain files can be expressed in it.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from typing import Final

from muster.kinds.errors import Refused
from muster.source.layout import leaves_the_tree

LARGEST: Final = 64 * 2**20
"""Largest archive, in bytes."""
LARGEST_MEMBER: Final = 16 * 2**20
MOST_MEMBERS: Final = 3_000

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_HINT = "export it again with: muster evidence export"


def pack(members: Mapping[str, bytes]) -> bytes:
    """The archive of these members. Raises `Refused` for a name or a size that it cannot hold."""
    if len(members) > MOST_MEMBERS:
        raise Refused(f"the package has {len(members)} members, more than {MOST_MEMBERS}", "say less in one package")
    parts: list[bytes] = []
    for name, data in sorted(members.items()):
        if len(data) > LARGEST_MEMBER:
            raise Refused(f"{name} has {len(data)} bytes, more than {LARGEST_MEMBER}", "say less in one file")
        parts += [_header(name, len(data)), data, bytes(-len(data) % _BLOCK)]
    packed = b"".join([*parts, _END])
    if len(packed) > LARGEST:
        raise Refused(f"the package has {len(packed)} bytes, more than {LARGEST}", "say less in one package")
    return packed


def unpack(data: bytes) -> dict[str, bytes]:
    """The members of an archive. Raises `Refused` for anything that `pack` would not have written."""
    if len(data) > LARGEST:
        raise Refused(f"the archive has more than {LARGEST} bytes", _HINT)
    return dict(_members(data))


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    position, last, count = 0, "", 0
    while (block := data[position : position + _BLOCK]) != bytes(_BLOCK):
        name, size = _parse(block)
        content = data[position + _BLOCK : position + _BLOCK + size]
        end = position + _BLOCK + size + (-size % _BLOCK)
        count += 1
        if name <= last or count > MOST_MEMBERS:
            raise Refused(f"the archive holds {name!r} out of order, or too much", _HINT)
        if len(content) != size or any(data[position + _BLOCK + size : end]):
            raise Refused(f"the archive is cut short, or hides bytes behind {name}", _HINT)
        position, last = end, name
        yield name, content
    if data[position:] != _END:
        raise Refused("the archive goes on behind its end", _HINT)


def _parse(block: bytes) -> tuple[str, int]:
    prefix, name, octal = block[345:500].rstrip(b"\0"), block[:100].rstrip(b"\0"), block[124:135]
    if len(block) != _BLOCK or not octal.isdigit() or set(octal) & set(b"89"):
        raise Refused("the archive has a header that cannot be read", _HINT)
    whole, size = (prefix + b"/" + name if prefix else name).decode("ascii", "replace"), int(octal, 8)
    if size > LARGEST_MEMBER or _header(whole, size) != block:
        raise Refused(f"the archive holds {whole[:200]!r} as something else than a plain file", _HINT)
    return whole, size


def _header(name: str, size: int) -> bytes:
    if not _NAME.fullmatch(name) or leaves_the_tree(name):
        raise Refused(f"a package cannot hold a file called {name[:200]!r}", "rename it: letters, digits, . _ - /")
    told = tarfile.TarInfo(name)
    told.size = size
    try:
        return told.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except ValueError as error:
        raise Refused(f"a package cannot hold a file called {name!r}: it is too long", "shorten its name") from error

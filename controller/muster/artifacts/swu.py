"""The `.swu`: an artifact as SWUpdate takes it, a cpio archive of `sw-description`, its signature, and the artifact.

There is exactly one archive for a given description, signature and artifact: owner, time and links are zero. The
artifact stays one file, so that its installation is one rename on the device: the old one or the new one, never parts
of both. Its digest is the one that git pins.

Format: cpio's "new ASCII" with checksums, magic 070702 (cpio(5)); order and description as SWUpdate wants them
(https://sbabic.github.io/swupdate/sw-description.html).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from muster.kinds.device_class import SwuPackaging
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused

DESCRIPTION: Final = "sw-description"
SIGNATURE: Final = "sw-description.sig"
PAYLOAD: Final = "bundle.tar"
LARGEST_PAYLOAD: Final = 2**31 - 2**20
"""SWUpdate reads sizes as signed 32 bits; the rest of the archive must fit too."""

_FILE = 0o100644
_CHUNK = 2**20


def describe(packaging: SwuPackaging, model: str, version: str, artifact: str) -> bytes:
    """`sw-description`: put the artifact with this digest where the class wants it, in one rename."""
    revisions = ", ".join(f'"{revision}"' for revision in packaging.hardware)
    return f"""software =
{{
  version = "{version}";
  description = "{model}/{version}";
  hardware-compatibility: [ {revisions} ];
  files: (
    {{
      filename = "{PAYLOAD}";
      path = "{packaging.folder}/{model}.tar";
      type = "rawfile";
      sha256 = "{hex_of(artifact)}";
      properties = {{ atomic-install = "true"; create-destination = "true"; }};
    }}
  );
}};
""".encode()


def pack_swu(description: bytes, signature: bytes, payload: Path) -> Iterator[bytes]:
    """The archive, in chunks. The payload is read twice: its checksum stands before it.

    Raises `Refused` if it is too large for SWUpdate.
    """
    size, total = _measure(payload)
    if size > LARGEST_PAYLOAD:
        raise Refused(
            f"an artifact of {size} bytes is more than SWUpdate takes ({LARGEST_PAYLOAD})",
            "declare the class `package: tar`, or make the model smaller",
        )
    for number, (name, data) in enumerate(((DESCRIPTION, description), (SIGNATURE, signature)), 1):
        yield _header(name, number, _FILE, len(data), sum(data)) + data + _padding(len(data))
    yield _header(PAYLOAD, 3, _FILE, size, total)
    with payload.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
    # No zeros up to a whole block behind it: SWUpdate's installer waits a moment for them and closes, and if they come
    # later, its client tells a failure for what is installed.
    yield _padding(size) + _header("TRAILER!!!", 0, 0, 0, 0)


def _measure(payload: Path) -> tuple[int, int]:
    """Size in bytes, and the sum of all bytes."""
    import numpy as np

    size = total = 0
    with payload.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            total += int(np.frombuffer(chunk, np.uint8).sum(dtype=np.uint64))
    return size, total


def _header(name: str, inode: int, mode: int, size: int, total: int) -> bytes:
    """Magic, then thirteen numbers of eight hexadecimal digits: inode, mode, uid, gid, links, mtime, size, devices (4),
    length of the name, checksum.
    """
    terminated = name.encode() + b"\0"
    numbers = (inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(terminated), total & 0xFFFFFFFF)
    header = b"070702" + b"".join(b"%08x" % number for number in numbers) + terminated
    return header + _padding(len(header))


def _padding(length: int) -> bytes:
    return bytes(-length % 4)

"""The bundle: an artifact is one file, a deterministic uncompressed tar of five files; its digest is the tar's sha256.

There is exactly one tar for given files: names sorted, mode 0644, owner and time zero, ustar headers, zero padding,
two empty blocks at the end. The reader derives the only header that is allowed from name and size and compares all
512 bytes, so that links, folders, devices, long names, sparse files and extensions cannot be expressed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from muster.artifacts.disk import DISK, Disk
from muster.artifacts.durable import make_folder
from muster.kinds.errors import Refused, TryAgain, Unusable

MODEL: Final = "model.onnx"
CONFIG: Final = "config.json"
MANIFEST: Final = "manifest.json"
GOLDEN_INPUTS: Final = "golden-inputs.tensors"
GOLDEN_EXPECTED: Final = "golden-expected.tensors"

LIMITS: Final = {
    CONFIG: 2**20,
    GOLDEN_EXPECTED: 2**26,
    GOLDEN_INPUTS: 2**26,
    MANIFEST: 2**16,
    MODEL: 2**31 - 2**28,
}
"""Every name that a bundle holds, and its largest size in bytes."""

_BLOCK = 512
_CHUNK = 2**20
_END = bytes(2 * _BLOCK)


def pack_bundle(files: Mapping[str, bytes]) -> bytes:
    """The tar of these files. Raises `Refused` for a missing or unknown name, or too large a file."""
    _refuse_names(sorted(files))
    parts = []
    for name, data in sorted(files.items()):
        _refuse_size(name, len(data))
        parts += [_header(name, len(data)), data, bytes(-len(data) % _BLOCK)]
    return b"".join([*parts, _END])


def read_bundle(data: bytes) -> dict[str, bytes]:
    """The files of a bundle. Raises `Refused` for anything that `pack_bundle` would not have written."""
    files: dict[str, bytes] = {}
    for name, chunks in _members(io.BytesIO(data)):
        files[name] = b"".join(chunks)
    return files


def frame_files(sizes: Mapping[str, int]) -> tuple[list[tuple[str, bytes]], bytes]:
    """What stands in the tar before the bytes of each file, in order, and what follows the last: all but the files.

    Raises `Refused` as `pack_bundle` does.
    """
    names = sorted(sizes)
    _refuse_names(names)
    framed, padding = [], b""
    for name in names:
        _refuse_size(name, sizes[name])
        framed.append((name, padding + _header(name, sizes[name])))
        padding = bytes(-sizes[name] % _BLOCK)
    return framed, padding + _END


def read_sizes(tar: Path) -> dict[str, int]:
    """{name: bytes} of a bundle's files, by its headers alone. Raises `Refused` as `read_bundle` does, `OSError`."""
    sizes: dict[str, int] = {}
    with tar.open("rb") as file:
        for _ in LIMITS:
            name, size = _parse(_read(file, _BLOCK))
            sizes[name] = size
            file.seek(size + -size % _BLOCK, os.SEEK_CUR)
    _refuse_names(sorted(sizes))
    return sizes


def unpack_bundle(tar: Path, folder: Path, disk: Disk = DISK) -> None:
    """Write a bundle's files into `folder`, which must not exist yet; each is forced to disk.

    Memory does not grow with the bundle. Raises `Refused` as `read_bundle` does (what was written until then stays:
    the caller throws the folder away), `Unusable` if the folder exists, `TryAgain` if the disk refuses.
    """
    try:
        make_folder(folder.parent, disk)
        disk.mkdir(folder)
        with tar.open("rb") as file:
            for name, chunks in _members(file):
                _write(folder / name, chunks, disk)
        disk.sync_folder(folder)
        disk.sync_folder(folder.parent)
    except FileExistsError as error:
        raise Unusable(f"{folder} exists already", "unpack into a fresh folder") from error
    except OSError as error:
        raise TryAgain(f"cannot unpack {tar} into {folder}: {error.strerror}") from error


def _write(path: Path, chunks: Iterator[bytes], disk: Disk) -> None:
    descriptor = disk.open(path, os.O_CREAT | os.O_EXCL)
    try:
        for chunk in chunks:
            disk.write(descriptor, chunk)
        disk.sync(descriptor)
    finally:
        disk.close(descriptor)


def _members(file: BinaryIO) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Name and bytes of each member. The bytes of one must be read before the next is asked for."""
    names: list[str] = []
    while (block := _read(file, _BLOCK)) != bytes(_BLOCK):
        name, size = _parse(block)
        if name not in LIMITS or names[-1:] >= [name]:
            raise Refused(f"the bundle holds {name!r}, which is unknown or not in order", _HINT)
        _refuse_size(name, size)
        names.append(name)
        yield name, _chunks(file, size)
    if _read(file, _BLOCK) != bytes(_BLOCK) or file.read(1):
        raise Refused("the bundle goes on behind its end", _HINT)
    _refuse_names(names)


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    padding = -size % _BLOCK
    while size:
        chunk = _read(file, min(size, _CHUNK))
        size -= len(chunk)
        yield chunk
    if _read(file, padding) != bytes(padding):
        raise Refused("the bundle hides bytes between its files", _HINT)


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise Refused("the bundle is cut short", _HINT)
    return data


def _parse(block: bytes) -> tuple[str, int]:
    name, octal = block[:100].rstrip(b"\0"), block[124:135]
    if not name.isascii() or not octal.isdigit() or set(octal) & set(b"89"):
        raise Refused("the bundle has a header that cannot be read", _HINT)
    size = int(octal, 8)
    if _header(name.decode(), size) != block:
        raise Refused(f"the bundle holds {name.decode()!r} as something else than a plain file", _HINT)
    return name.decode(), size


def _header(name: str, size: int) -> bytes:
    """The ustar header of a plain file; its sum is taken with spaces in the place of the sum."""
    fields = [
        name.encode().ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,
        b"%011o\0" % size,
        b"00000000000\0",
    ]
    rest = b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    head = b"".join(fields)
    total = sum(head) + sum(b" " * 8) + sum(rest)
    return head + b"%06o\0 " % total + rest


def _refuse_names(names: list[str]) -> None:
    if names != sorted(LIMITS):
        raise Refused(f"the bundle holds {', '.join(names) or 'nothing'}", f"it must hold {', '.join(sorted(LIMITS))}")


def _refuse_size(name: str, size: int) -> None:
    if size > LIMITS[name]:
        raise Refused(f"{name} in the bundle has {size} bytes, more than {LIMITS[name]}")


_HINT = "build the release again; only bundles that `muster build` wrote are accepted"

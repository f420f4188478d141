"""Landlock: which files a step may open, and no TCP, no signal and no abstract socket across the border.

Formats and rights: `linux/landlock.h`. A kernel that knows fewer rights is asked for those that it knows.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable, Sequence

from muster.build.sandbox import kernel

_VERSION = 1
_READ = 1 | 4 | 8  # execute, read files, read folders
_ON_FILES = 1 | 2 | 4 | 1 << 14 | 1 << 15  # execute, write, read, truncate, control devices
_DEVICE = 2 | 4
_TCP = 3  # bind, connect
_SCOPES = 3  # abstract sockets, signals
_BENEATH = 1


def restrict(readable: Iterable[str], writable: Sequence[str], devices: Sequence[str]) -> None:
    """Hold this process and its descendants to these paths; a missing one is passed over. Raises `OSError`."""
    version = kernel.call("landlock_create_ruleset", 0, 0, _VERSION)
    files = (1 << 13) - 1
    for needed, right in ((2, 13), (3, 14), (5, 15)):
        files |= 1 << right if version >= needed else 0
    words = [files, _TCP, _SCOPES][: 1 if version < 4 else 2 if version < 6 else 3]
    attributes = struct.pack(f"={len(words)}Q", *words)
    rules = kernel.call(
        "landlock_create_ruleset", ctypes.create_string_buffer(attributes, len(attributes)), len(attributes), 0
    )
    try:
        for paths, rights in ((readable, _READ), (writable, files), (devices, _DEVICE)):
            for path in paths:
                with contextlib.suppress(FileNotFoundError):
                    _allow(rules, path, rights & files)
        kernel.call("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        granted = rights if os.path.isdir(path) else rights & _ON_FILES  # noqa: PTH112 - a string as it came
        rule = struct.pack("=Qi", granted, place)
        kernel.call("landlock_add_rule", rules, _BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
    finally:
        os.close(place)

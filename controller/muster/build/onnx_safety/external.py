"""Data that a model names beside itself: refused, unless a manifest lists the file and the file is what it says.

Whoever reads external data by a name in the model opens what the model's author chose. So the name is compared with
the manifest's and never joined to anything: what is opened is the manifest's own entry, relative to its folder, without
following a link, and the file must be a regular one with a single name (CVE-2026-34446, CVE-2026-34447).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Final

import onnx

from muster.build.onnx_safety.finding import SafetyFinding, shown
from muster.build.onnx_safety.rules import External

_KEYS: Final = frozenset({"location", "offset", "length", "checksum"})
"""Others were attributes of an object that readers set by name (CVE-2026-34445)."""
_DIGITS: Final = 18
_HINT: Final = "save the model as one file, or list its data in the manifest with name and size"


def check_external(place: str, tensor: onnx.TensorProto, size: int, listed: External | None) -> Iterator[SafetyFinding]:
    """What is wrong with the external data of a tensor that takes `size` bytes."""
    reason = "lies outside the file" if listed is None else _reason(tensor, size, listed)
    if reason is not None:
        yield SafetyFinding("external-data", place, f"{place} {reason}", _HINT)


def _reason(tensor: onnx.TensorProto, size: int, listed: External) -> str | None:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if len(entries) != len(tensor.external_data) or not entries.keys() <= _KEYS or "location" not in entries:
        return f"describes its data by {', '.join(shown(key) for key in entries) or 'nothing'}"
    if any(len(getattr(tensor, name)) for name in ("raw_data", "float_data", "int32_data", "int64_data")):
        return "has data inside and outside the file"
    location = entries["location"]
    if location not in listed.listed:
        return f"lies in {shown(location)}, which the manifest does not list"
    offset, length = _whole(entries.get("offset", "0")), _whole(entries.get("length", str(size)))
    if offset is None or length is None or length != size:
        return f"takes {size} bytes and describes them by other numbers"
    if offset + length > listed.listed[location]:
        return f"ends at byte {offset + length} of {shown(location)}, which has {listed.listed[location]}"
    return _file_reason(location, listed)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _file_reason(location: str, listed: External) -> str | None:
    if "/" in location or "\\" in location or "\0" in location or location in ("", ".", ".."):
        return f"lies in {shown(location)}, which is no name of a file beside the model"
    try:
        found = (listed.folder / location).lstat()
    except OSError as error:
        return f"lies in {shown(location)}, which cannot be read: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"lies in {shown(location)}, which is no regular file"
    if found.st_nlink != 1:
        return f"lies in {shown(location)}, which has {found.st_nlink} names: it may be a file from elsewhere"
    if found.st_size != listed.listed[location]:
        return f"lies in {shown(location)}, which has {found.st_size} bytes; listed: {listed.listed[location]}"
    return None

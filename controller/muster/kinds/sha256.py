"""Digests of bytes and values. Apart from the kinds, so that a builder's environment needs no library for them."""

from __future__ import annotations

import hashlib
from typing import Any

from muster.kinds.canonical import canonical_json


def digest_of(data: bytes) -> str:
    """The digest of these bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of_value(value: Any) -> str:
    """The digest of a value's canonical JSON."""
    return digest_of(canonical_json(value))


def hex_of(digest: str) -> str:
    """The hexadecimal part, for file names."""
    return digest.removeprefix("sha256:")

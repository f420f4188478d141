"""Secrets of channels: read when they are needed, kept nowhere, and part of no message."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from muster.kinds.channel import Secret
from muster.kinds.errors import Refused, Unusable

FOLDER: Final = "alerts"
LARGEST: Final = 4_096
_PREFIX: Final = "whsec_"
_MAKE_ONE: Final = 'printf "whsec_%s\\n" "$(openssl rand -base64 32)"'


def read_secret(secret: Secret, state: Path, environ: Mapping[str, str]) -> str:
    """One line of text. Raises `Unusable` if it is missing or no line, `Refused` if others can read the file."""
    text = environ.get(secret.environment, "") if secret.environment else _of_file(state / FOLDER / str(secret.file))
    line = text.strip()
    if not line or len(line) > LARGEST or not line.isascii() or not line.isprintable() or " " in line:
        raise Unusable(f"{_named(secret)} holds no secret", "put one line of printable letters there, without spaces")
    return line


def hmac_key(secret: Secret, state: Path, environ: Mapping[str, str]) -> bytes:
    """The key of Standard Webhooks: `whsec_` and base64 of 24 to 64 bytes. Raises as `read_secret`."""
    text = read_secret(secret, state, environ)
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise Unusable(
            f"{_named(secret)} is no key of 24 to 64 bytes, written as whsec_ and base64", f"make one: {_MAKE_ONE}"
        )
    return key


def _named(secret: Secret) -> str:
    return secret.environment or f"{FOLDER}/{secret.file} in the state folder"


def _of_file(path: Path) -> str:
    """Neither a link nor anything but a file is read, so that no declaration can reach for another file's content."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unusable(f"cannot read {FOLDER}/{path.name} in the state folder: {error.strerror}") from None
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise Unusable(f"{FOLDER}/{path.name} in the state folder is no file")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Refused(f"others can read {FOLDER}/{path.name} in the state folder", f"chmod 600 {path}")
        return os.read(descriptor, LARGEST + 2).decode("utf-8", "replace")
    finally:
        os.close(descriptor)

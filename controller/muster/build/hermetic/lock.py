r"""A builder's lock: pinned packages with the hashes of their wheels, and the Python that they are for.

Format: that of `uv pip compile --generate-hashes` and `pip install --require-hashes`, of which only this is taken:

    # Python 3.11
    name==version [; marker] \
        --hash=sha256:<64 hexadecimal digits> [\]

Options, addresses, paths and other files are refused: a lock comes with a pull request. A lock without the first line
is for Python 3.11, as all were before that line was there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from muster.build.environment import MAX_LOCK
from muster.kinds.errors import Unusable
from muster.kinds.sha256 import digest_of

_PYTHON = re.compile(r"# Python (3\.[1-9][0-9]?)")
_PACKAGE = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]{0,127})==([0-9A-Za-z.+_!-]{1,63})(?: ; ([A-Za-z0-9_ .<>=!'\"()]+))? \\"
)
_HASH = re.compile(r"    --hash=sha256:([0-9a-f]{64})(?: \\)?")
_COMMENT = re.compile(r" *#.*")
_FIRST_PYTHON: Final = "3.11"


@dataclass(frozen=True)
class BuilderLock:
    """`python`: major and minor. `packages`: the versions of each name; more than one where markers choose."""

    data: bytes
    python: str
    packages: dict[str, frozenset[str]]
    hashes: frozenset[str]

    @property
    def digest(self) -> str:
        """What releases pin."""
        return digest_of(self.data)


def read_lock(data: bytes, name: str) -> BuilderLock:
    """The lock in `data`. Raises `Unusable` with the line of whatever is not as above. `name` is for messages."""
    if len(data) > MAX_LOCK:
        raise Unusable(f"{name} has {len(data)} bytes, more than {MAX_LOCK}", "lock the tools of a build, nothing else")
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise Unusable(f"{name} is not ASCII", "make it with uv pip compile --generate-hashes") from error
    packages: dict[str, set[str]] = {}
    hashes: set[str] = set()
    for number, line in enumerate(lines, 1):
        if found := _PACKAGE.fullmatch(line):
            packages.setdefault(plain_name(found[1]), set()).add(found[2])
        elif found := _HASH.fullmatch(line):
            hashes.add(found[1])
        elif line and not _COMMENT.fullmatch(line):
            raise Unusable(
                f"{name}:{number}:1: not a pinned package or a hash: {line[:80]!r}",
                "make it with uv pip compile --generate-hashes, without addresses and options",
            )
    if not packages or not hashes:
        raise Unusable(f"{name} names no package with a hash", "make it with uv pip compile --generate-hashes")
    python = next((found[1] for line in lines if (found := _PYTHON.fullmatch(line))), _FIRST_PYTHON)
    return BuilderLock(data, python, {key: frozenset(value) for key, value in packages.items()}, frozenset(hashes))


def plain_name(name: str) -> str:
    """A package's name as registries compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()

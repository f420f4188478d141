"""The builder's environment: the versions that a release's lock names must be the versions that are installed."""

from __future__ import annotations

import importlib.metadata
import re
from typing import TYPE_CHECKING, Final

from muster.kinds.errors import Unusable
from muster.kinds.sha256 import digest_of

if TYPE_CHECKING:
    from muster.kinds.release import Builder

TOOLS: Final = ("ml-dtypes", "numpy", "onnx", "onnxruntime", "protobuf")
"""The packages whose versions can show in an artifact; they are part of every cache key."""

MAX_LOCK: Final = 2**20
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([0-9A-Za-z.+_-]+)", re.MULTILINE)


def tool_versions() -> dict[str, str]:
    """Installed version of each tool. Raises `Unusable` if one is missing."""
    return {tool: _installed(tool) for tool in TOOLS}


def check_environment(builder: Builder, lock: bytes) -> None:
    """Raises `Unusable` unless `lock` is the pinned file and what is installed is what it names."""
    check_lock(builder, lock)
    if wrong := environment_differs(lock):
        raise Unusable(
            f"the environment differs from {builder.lock}: {', '.join(wrong)}",
            "build in the environment of the lock: --environment lock",
        )


def environment_differs(lock: bytes) -> list[str]:
    """Each tool whose installed version is not the locked one, in words."""
    locked = locked_versions(lock)
    return [
        f"{tool} {_installed(tool)} (locked: {locked.get(tool, 'not named')})"
        for tool in TOOLS
        if locked.get(tool) != _installed(tool)
    ]


def check_lock(builder: Builder, lock: bytes) -> None:
    """Raises `Unusable` unless `lock` is the pinned file."""
    if digest_of(lock) != builder.digest:
        raise Unusable(
            f"{builder.lock} has the digest {digest_of(lock)}, the release pins {builder.digest}",
            "check out the commit in which the release was made, or make a new release",
        )


def locked_versions(lock: bytes) -> dict[str, str]:
    """Version of each package that a lock names. Raises `Unusable` above 1 MiB."""
    if len(lock) > MAX_LOCK:
        raise Unusable(
            f"the lock file has {len(lock)} bytes, more than {MAX_LOCK}", "lock the tools of a build and nothing else"
        )
    # Names and versions are ASCII; what is not cannot match.
    text = lock.decode("ascii", errors="replace")
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in _PIN.findall(text)}


def _installed(tool: str) -> str:
    try:
        return importlib.metadata.version(tool)
    except importlib.metadata.PackageNotFoundError as error:
        raise Unusable(f"{tool} is not installed", "install passmuster[controller]") from error

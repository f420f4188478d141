"""Digests and identifiers: the pins of a release, and how devices and what fails on them are called."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from muster.kinds.sha256 import digest_of as digest_of  # noqa: PLC0414 - it is offered here
from muster.kinds.sha256 import digest_of_value as digest_of_value  # noqa: PLC0414 - it is offered here
from muster.kinds.sha256 import hex_of as hex_of  # noqa: PLC0414 - it is offered here

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""`sha256:` and 64 lower-case hexadecimal digits."""

Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
"""A full git object name (SHA-1 or SHA-256)."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""A DNS label: lower-case letters, digits and inner hyphens, 63 at most. Safe in paths, URLs and metric labels."""

Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})$")]
"""major.minor.patch, without leading zeros. Nothing declared ever floats."""

ReleaseName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$")
]
"""`<model>/<version>`"""

ExactVersion = Annotated[str, StringConstraints(pattern=r"^[0-9][0-9A-Za-z.+_-]{0,63}$")]
"""A version of somebody else's software, exact: no ranges, no wildcards."""

DeviceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
"""How a device names itself; safe in paths and URLs."""

ErrorCode = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
"""Why a device says that something failed. Here, because declarations name codes too, and need no telemetry for it."""


def version_key(version: str) -> tuple[int, ...]:
    """Sort key of a `Version`: newest is largest."""
    return tuple(int(part) for part in version.split("."))

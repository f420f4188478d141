"""How the device itself is: memory of this process, temperature."""

from __future__ import annotations

import platform
import re
import resource
from functools import cache
from pathlib import Path
from typing import Final, Literal

Thermal = Literal["nominal", "fair", "serious", "critical", "unknown"]

_LEVELS: Final[tuple[tuple[int, Thermal], ...]] = ((95, "critical"), (85, "serious"), (70, "fair"), (-273, "nominal"))
"""From this many degrees Celsius on."""


def peak_ram_mb(status: Path = Path("/proc/self/status")) -> float:
    """The most memory that this process ever held, in megabytes of 2**20 bytes.

    Linux hands `ru_maxrss` of a parent on to the program that it starts, so the kernel's own account is read first.
    """
    try:
        found = re.search(r"^VmHWM:\s+([0-9]+) kB$", status.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1_024


_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")


@cache
def os_version(debian: Path = Path("/etc/debian_version")) -> str | None:
    """The version of the operating system, as classes declare it; None if it does not say.

    Debian's os-release knows no point releases, its own file does.
    """
    try:
        release = platform.freedesktop_os_release()
        said = debian.read_text() if release.get("ID") == "debian" else release.get("VERSION_ID", "")
    except (OSError, ValueError):
        return None
    found = _VERSION.fullmatch(said.strip()[:65])
    return found[0] if found else None


def thermal_state(zones: Path = Path("/sys/class/thermal")) -> Thermal:
    """By the hottest zone that can be read."""
    degrees = []
    for path in sorted(zones.glob("thermal_zone*/temp"))[:64]:
        try:
            with path.open() as file:
                degrees.append(int(file.read(16)) // 1_000)
        except (OSError, ValueError):
            continue
    if not degrees:
        return "unknown"
    return next((level for least, level in _LEVELS if max(degrees) >= least), "unknown")

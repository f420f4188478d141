"""What a step of our own has to read: the system's programs and libraries, this interpreter with its packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import muster

SYSTEM: Final = tuple(
    Path(name)
    for name in (
        *("/bin", "/lib", "/lib32", "/lib64", "/sbin", "/usr", "/opt/lib"),
        *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
        *("/etc/locale.alias", "/etc/localtime", "/etc/nsswitch.conf", "/etc/ssl/openssl.cnf", "/etc/mime.types"),
        "/sys/devices/system/cpu",
    )
)
"""Nothing in it is a secret, and nothing in it says who uses the machine."""


def this_interpreter() -> tuple[Path, ...]:
    """The Python that runs here, the packages that are installed for it, and Muster itself."""
    installed = (Path(name) for name in sys.path if Path(name).name in ("site-packages", "dist-packages"))
    return tuple(
        dict.fromkeys(
            path
            for path in (Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix), *installed, muster_folder())
            if path.is_dir()
        )
    )


def muster_folder() -> Path:
    """The folder that the package `muster` lies in: `controller` of a clone, or where packages are installed."""
    return Path(next(iter(muster.__path__))).parent

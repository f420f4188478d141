"""A root of its own for a step: what it may read, what it may write, a few devices, its own processes, no network.

Order: separate; the supervisor, which has the rights outside, writes the maps of users; be the first process of the
new process namespace; build the root; leave the old one. See `user_namespaces(7)`, `pivot_root(2)`.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from muster.build.sandbox import kernel

DEVICES: Final = ("/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero")

_NEW_ALL = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
"""Mounts, control groups, host name, System V IPC, users, processes, network."""
_NOSUID, _NODEV, _NOEXEC, _BIND, _RECURSIVE, _SLAVE = 2, 4, 8, 4096, 16384, 1 << 19
_DETACH = 2
_AT_RECURSIVE = 0x8000
_ATTRIBUTE_READ_ONLY, _ATTRIBUTE_NOSUID, _ATTRIBUTE_NODEV = 1, 2, 4
_AT_CWD = -100


def separate() -> None:
    """Leave every namespace; the next child is the first process of the new one. Raises `OSError`."""
    kernel.call("unshare", _NEW_ALL)


def write_maps(process: int, inside: int, spare: int | None) -> None:
    """Say who user and group `inside` of a process that has separated are outside: `spare`, which root lends, or we.

    With `spare`, 0 inside is root outside, until the root is built. Raises `OSError`.
    """
    place = Path(f"/proc/{process}")
    if spare is None:
        (place / "setgroups").write_text("deny")
        users, groups = f"{inside} {os.geteuid()} 1\n", f"{inside} {os.getegid()} 1\n"
    else:
        users = groups = f"0 0 1\n{inside} {spare} 1\n"
    (place / "uid_map").write_text(users)
    (place / "gid_map").write_text(groups)


def build_root(readable: Iterable[str], folder: str) -> None:
    """Make a root of these paths alone, and make it the root. `folder` can be written. Raises `OSError`."""
    _mount(None, "/", None, _SLAVE | _RECURSIVE)
    stage = "/tmp" if Path("/tmp").is_dir() else folder  # noqa: S108 - a place to mount over, in our own view
    _mount("tmpfs", stage, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=0755")
    os.chdir(stage)
    Path("old").mkdir()
    Path("new").mkdir()
    _mount("new", "new", None, _BIND)
    kernel.call("pivot_root", b".", b"old")
    os.chdir("/")
    # Shorter paths first: a longer one may lie within, and is then mounted over it.
    for path in sorted(set(readable)):
        _show(path, read_only=True)
    _make_devices()
    _make_proc()
    _show(folder, read_only=False)
    kernel.call("umount2", b"/old", _DETACH)
    os.chdir("/new")
    _freeze(".", _ATTRIBUTE_READ_ONLY, recursive=False)
    kernel.call("pivot_root", b".", b".")
    kernel.call("umount2", b".", _DETACH)
    os.chdir(folder)


def _show(path: str, *, read_only: bool) -> None:
    """Mount a path of the old root at its place in the new one; where it leads, and under its own name."""
    real = _resolve(path)
    source = f"/old{real}"
    if not os.path.lexists(source):
        return
    for name in dict.fromkeys((real, path)):
        target = Path(f"/new{name}")
        if target.is_symlink():
            continue
        with contextlib.suppress(FileExistsError, OSError):
            _make_place(Path(source), target)
        _mount(source, str(target), None, _BIND | _RECURSIVE)
        attributes = _ATTRIBUTE_NOSUID | _ATTRIBUTE_NODEV
        _freeze(str(target), attributes | (_ATTRIBUTE_READ_ONLY if read_only else 0), recursive=True)


def _resolve(path: str) -> str:
    """Where a path of the old root leads; links are followed as if the old root were the root."""
    place = "/"
    rest = [part for part in path.split("/") if part][::-1]
    for _ in range(400):
        if not rest:
            break
        part = rest.pop()
        if part == "..":
            place = str(Path(place).parent)
            continue
        candidate = Path(place, part)
        outside = f"/old{candidate}"
        if os.path.islink(outside):  # noqa: PTH114 - a string as it came
            target = os.readlink(outside)  # noqa: PTH115
            place = "/" if target.startswith("/") else place
            rest += [step for step in target.split("/") if step and step != "."][::-1]
        else:
            place = str(candidate)
    return place


def _make_place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch(exist_ok=True)


def _make_devices() -> None:
    for device in DEVICES:
        if Path(f"/old{device}").exists():
            _make_place(Path(f"/old{device}"), Path(f"/new{device}"))
            _mount(f"/old{device}", f"/new{device}", None, _BIND)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path("/new/dev", name).symlink_to(target)


def _make_proc() -> None:
    """The step's own processes. Where a container hides parts of /proc, the kernel forbids a new one: two files do."""
    Path("/new/proc").mkdir()
    try:
        _mount("proc", "/new/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    except PermissionError:
        for name in ("/proc/cpuinfo", "/proc/meminfo"):
            _make_place(Path(f"/old{name}"), Path(f"/new{name}"))
            _mount(f"/old{name}", f"/new{name}", None, _BIND)
    _freeze("/new/proc", _ATTRIBUTE_READ_ONLY, recursive=True)


def _freeze(path: str, attributes: int, *, recursive: bool) -> None:
    """Set attributes of a mount; of those below it as well, if `recursive`."""
    wanted = struct.pack("=4Q", attributes, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    kernel.call("mount_setattr", _AT_CWD, path.encode(), flags, wanted, len(wanted))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    kernel.call("mount", *encoded, flags, None if options is None else options.encode())

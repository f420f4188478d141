"""Judging the system calls that a step's filter shows: granted or refused, and what is remembered of them.

What is remembered is for people; a step can change a path after it was read here. What holds it are the filter, the
root that it sees, and Landlock. Formats and numbers: `linux/seccomp.h`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from typing import Final

from muster.build.sandbox import filter as seccomp
from muster.build.sandbox import kernel, processes
from muster.build.sandbox.namespaces import DEVICES
from muster.build.sandbox.step import Order

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_CONTINUE = 1
_EXAMPLES = 8
_UNREMARKABLE = ("/sys",)
"""Libraries look there for hardware. It is refused as all else is."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_FAMILIES: Final = {1: "local", 2: "IPv4", 10: "IPv6", 16: "netlink", 17: "packets"}
_KINDS: Final = {1: "stream", 2: "datagram", 3: "raw"}


class Attempts:
    """What was tried, by name and example, counted. Of each name some examples are kept, and the others counted."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, int]] = {}

    def add(self, trespass: str, example: str) -> None:
        """Remember one; the example is cut to 300 characters."""
        examples = self._seen.setdefault(trespass, {})
        known = example[:300] if example[:300] in examples or len(examples) < _EXAMPLES else "others"
        examples[known] = examples.get(known, 0) + 1

    def as_data(self) -> list[tuple[str, str, int]]:
        """Name, example, count; sorted by name, then as they came."""
        return [(name, *item) for name, examples in sorted(self._seen.items()) for item in examples.items()]


class Witness:
    """Answers the notices of one step."""

    def __init__(self, listener: int, keeper: int, order: Order, attempts: Attempts) -> None:
        self._listener = listener
        self._keeper = keeper
        self._order = order
        self._attempts = attempts
        self._allowed = tuple(os.path.realpath(path) for path in (*order.readable, order.folder, *DEVICES))
        self._folder = os.path.realpath(order.folder)
        self._opened: dict[int, int] = {}
        self._names = {number: name for name in kernel.NUMBERS if (number := kernel.number(name)) is not None}
        judges: dict[str, Callable[[str, int, tuple[int, ...]], int]] = {
            "socket": self._socket,
            "socketpair": self._socket,
            "mmap": self._memory,
            "mremap": self._memory,
            "ftruncate": self._size,
            "fallocate": self._size,
        }
        judges |= dict.fromkeys(seccomp.TRACING, self._tracing) | dict.fromkeys(seccomp.PRIVILEGES, self._privileges)
        judges |= dict.fromkeys(seccomp.SET_ID, self._set_id) | dict.fromkeys(seccomp.OTHERS, self._other)
        judges |= dict.fromkeys(seccomp.RANKS, self._tracing) | dict.fromkeys(seccomp.SIGNALS_BY_FILES, self._by_file)
        judges |= dict.fromkeys(seccomp.SIGNALS, self._signal) | dict.fromkeys(seccomp.STARTING, self._start)
        self._judges = judges | dict.fromkeys(seccomp.OPENING, self._open)

    def answer(self) -> None:
        """Take one notice and answer it. The process may be gone by then: there is nothing to answer."""
        notice = bytearray(_NOTICE.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, notice)
        except OSError:
            return
        identity, process, _, number, _, _, *arguments = _NOTICE.unpack(notice)
        name = self._names.get(number, str(number))
        judge = self._judges.get(name)
        problem = errno.EPERM if judge is None else judge(name, process, tuple(arguments))
        answer = _ANSWER.pack(identity, 0, -problem, 0 if problem else _CONTINUE)
        try:
            fcntl.ioctl(self._listener, _SEND, answer)
        except OSError:
            return

    def _tracing(self, name: str, _: int, __: tuple[int, ...]) -> int:
        self._attempts.add("tracing", name)
        return errno.EPERM

    def _privileges(self, name: str, _: int, __: tuple[int, ...]) -> int:
        self._attempts.add("privileges", name)
        return errno.EPERM

    def _socket(self, _: str, __: int, arguments: tuple[int, ...]) -> int:
        family = _FAMILIES.get(arguments[0], f"address family {arguments[0]}")
        kind = _KINDS.get(arguments[1] & 0xF, "other")
        self._attempts.add("network", f"a {kind} socket, {family}")
        return errno.EACCES

    def _set_id(self, name: str, _: int, __: tuple[int, ...]) -> int:
        self._attempts.add("privileges", f"{name} of a file that is run as its owner")
        return errno.EPERM

    def _by_file(self, name: str, _: int, __: tuple[int, ...]) -> int:
        self._attempts.add("signal", f"{name} that makes a file send it")
        return errno.EPERM

    def _other(self, name: str, process: int, arguments: tuple[int, ...]) -> int:
        """A runtime says on which processors each of its threads runs. In a namespace the numbers are others."""
        target = arguments[0] & 0xFFFFFFFF
        if target != 1 if self._order.separate else target == process or self._is_own(target, "tkill"):
            return 0
        self._attempts.add("tracing", f"{name} of process {target}")
        return errno.EPERM

    def _memory(self, name: str, process: int, arguments: tuple[int, ...]) -> int:
        wanted = arguments[1] if name == "mmap" else arguments[2]
        used = processes.memory(process)[0] - (arguments[1] if name == "mremap" else 0)
        if used + wanted <= self._order.limits["memory"]:
            return 0
        self._attempts.add("memory", f"{wanted} bytes at once, with {used} in use")
        return errno.ENOMEM

    def _size(self, name: str, _: int, arguments: tuple[int, ...]) -> int:
        wanted = arguments[1] if name == "ftruncate" else arguments[3]
        self._attempts.add("file-size", f"a file of {wanted} bytes")
        return errno.EFBIG

    def _start(self, name: str, _: int, arguments: tuple[int, ...]) -> int:
        if name == "clone" and arguments[0] & seccomp.NEW_NAMESPACES:
            self._attempts.add("privileges", "clone into new namespaces")
            return errno.EPERM
        limit = self._order.limits["processes"]
        if sum(processes.threads(process) for process in self._own()) < limit:
            return 0
        self._attempts.add("processes", f"more than {limit}")
        return errno.EAGAIN

    def _signal(self, name: str, process: int, arguments: tuple[int, ...]) -> int:
        """Within a namespace there is nobody else to reach, but its first process: told for the record."""
        target = arguments[0] - 2**32 if 2**31 <= arguments[0] < 2**32 else arguments[0]
        target = target - 2**64 if target >= 2**63 else target
        if name == "pidfd_send_signal":
            own = False
        elif self._order.separate:
            own = target != 1
        else:
            own = target in (0, process) or self._is_own(abs(target), name)
        if own:
            return 0
        self._attempts.add("signal", f"{name} {target}")
        return errno.EPERM

    def _open(self, name: str, process: int, arguments: tuple[int, ...]) -> int:
        at = name == "openat"
        flags = arguments[2 if at else 1] if name in ("open", "openat") else os.O_WRONLY | os.O_CREAT
        if self._too_many(process):
            self._attempts.add("open-files", f"more than {self._order.limits['open_files']}")
        path = _text(process, arguments[1 if at else 0])
        if path is None:
            return 0
        if not path.startswith("/"):
            path = os.path.join(_folder(process, arguments[0] if at else None), path)  # noqa: PTH118
        self._note(path, writing=bool(flags & _WRITING))
        return 0

    def _note(self, path: str, *, writing: bool) -> None:
        real = os.path.realpath(path) if not path.startswith("/proc/") else os.path.normpath(path)
        if _beneath(real, (self._folder, *DEVICES) if writing else self._allowed):
            return
        if _beneath(real, ("/proc", "/dev/fd")) and not self._foreign(real, writing=writing):
            return
        if writing:
            self._attempts.add("outside-file", f"writing {real}")
        elif os.path.lexists(real) and not _beneath(real, _UNREMARKABLE):
            self._attempts.add("outside-file", f"reading {real}")

    def _foreign(self, path: str, *, writing: bool) -> bool:
        """Is it about a process that is not the step's?"""
        part = (path.split("/") + [""] * 3)[2]
        if not part.isdigit():
            return part in ("kcore", "keys") or (writing and part in ("sys", "sysrq-trigger"))
        return part == "1" if self._order.separate else not self._is_own(int(part), "")

    def _too_many(self, process: int) -> bool:
        """Held files are counted only of a process that has opened some: it may have come with others."""
        limit = self._order.limits["open_files"]
        self._opened[process] = opened = self._opened.get(process, 0) + 1
        if opened < limit // 2:
            return False
        try:
            held: list[str] = os.listdir(f"/proc/{process}/fd")  # noqa: PTH208 - names are enough
        except OSError:
            return False
        return len(held) >= int(limit)

    def _own(self) -> list[int]:
        """The step's processes. Orphans are adopted by the first process of their namespace, else by the supervisor."""
        if self._order.separate:
            return processes.descendants(self._keeper)[1:]
        return [process for process in processes.descendants(os.getpid()) if process != self._keeper]

    def _is_own(self, target: int, name: str) -> bool:
        own = self._own()
        return target in own or (
            name in ("tkill", "rt_tgsigqueueinfo", "tgkill")
            and any(os.path.exists(f"/proc/{process}/task/{target}") for process in own)  # noqa: PTH110
        )


def _beneath(path: str, places: tuple[str, ...]) -> bool:
    return path in places or any(path.startswith(f"{place}/") for place in places)


def _text(process: int, address: int) -> str | None:
    """The text at an address of a process, up to 4096 bytes; None if it cannot be read."""
    try:
        memory = os.open(f"/proc/{process}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        page = 4096 - address % 4096
        data = os.pread(memory, page, address)
        if b"\0" not in data and len(data) == page:
            data += os.pread(memory, 4096, address + page)
    except (OSError, OverflowError, ValueError):
        return None
    finally:
        os.close(memory)
    text, end, _ = data.partition(b"\0")
    return os.fsdecode(text) if end and text else None


def _folder(process: int, descriptor: int | None) -> str:
    """What a relative path begins at."""
    here = descriptor is None or descriptor & 0xFFFFFFFF == 0xFFFFFF9C
    try:
        return os.readlink(f"/proc/{process}/cwd" if here else f"/proc/{process}/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return "/"

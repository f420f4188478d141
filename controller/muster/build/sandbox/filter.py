"""The seccomp filter of a step: classic BPF over a system call's number and arguments.

Three answers beside *granted*: refused at once (what libraries try and can do without), shown to the supervisor
(`witness`), or, where nobody can listen, refused without a witness. Format: `linux/seccomp.h`, `linux/filter.h`.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Final

from muster.build.sandbox import kernel

TRACING: Final = (
    "kcmp",
    "perf_event_open",
    "pidfd_getfd",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
)
PRIVILEGES: Final = (
    *("acct", "add_key", "adjtimex", "bpf", "chroot", "clock_settime", "delete_module", "finit_module", "fsconfig"),
    *("fsmount", "fsopen", "fspick", "init_module", "kexec_file_load", "kexec_load", "keyctl", "mount"),
    *("mount_setattr", "move_mount", "open_by_handle_at", "open_tree", "open_tree_attr", "pivot_root", "quotactl"),
    *("reboot", "request_key", "setns", "settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare"),
    "userfaultfd",
)
SIGNALS: Final = ("kill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "tgkill", "tkill")
SIGNALS_BY_FILES: Final = ("fcntl", "ioctl")
"""A descriptor can be told to send a signal, any, to a process, any; and a terminal to read what nobody typed."""
OTHERS: Final = (
    *("migrate_pages", "move_pages", "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam"),
    "sched_setscheduler",
)
"""Their first argument is a process, or 0 for the caller's own."""
RANKS: Final = {"setpriority": 0, "ioprio_set": 1}
"""What their first argument has to be for the second to be a process."""
SET_ID: Final = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mknod": 1, "mknodat": 2}
"""Where their argument is that a mode is."""
OPENING: Final = ("creat", "open", "openat", "truncate")
STARTING: Final = ("clone", "fork", "vfork")
_ABSENT: Final = ("clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "openat2")
"""The C library falls back to calls whose arguments a filter can see."""
_MEMORY_WITHOUT_LIMIT: Final = (
    *("memfd_create", "memfd_secret", "mq_open", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl"),
    *("semget", "semop", "semtimedop", "shmat", "shmctl", "shmget"),
)
"""Of what System V and POSIX share between processes, some outlasts them, and some is another's."""
_ATTRIBUTES: Final = (
    *("chmod", "chown", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "file_setattr", "fremovexattr"),
    *("fsetxattr", "futimesat", "lchown", "lremovexattr", "lsetxattr", "removexattr", "removexattrat", "setxattr"),
    *("setxattrat", "utime", "utimensat", "utimes"),
)
"""Landlock does not govern them: whoever owns a file can change these of what it may only read."""

NEW_NAMESPACES: Final = 0x7E020080
"""The flags of `clone` that make a namespace (`linux/sched.h`)."""

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_NOTIFY = 0x7FC00000
_KILL = 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _GREATER, _ANY_BIT, _RETURN, _AND = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06, 0x54
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_NEW_LISTENER = 8
_X32 = 0x40000000
_AF_UNIX = 1
_CONNECTED = (1, 5)
"""Streams and packets in sequence: such a pair stays one. One of datagrams sends to any socket that has a name."""
_SET_DUMPABLE = 4
_OWN_A_FILE = (8, 10, 15)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX."""
_CONTROLS = (0x8901, 0x8902, 0x5412, 0x541C, 0x40086602, 0x401C5820)
"""FIOSETOWN, SIOCSPGRP, TIOCSTI, TIOCLINUX, FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR."""
_MAKES_A_FILE = 0x400040
"""O_CREAT and the bit of O_TMPFILE."""
_SET_ID_BITS = 0o6000

_Instruction = tuple[int, int, int, int]


def program(*, memory: int, file_size: int, files_by_landlock: bool, witnessed: bool) -> bytes:
    """The filter as `struct sock_filter[]`. Refuses what is larger than `memory` or `file_size`, in bytes."""
    architecture = kernel.AUDIT_ARCH[kernel.machine()]
    shown = _NOTIFY if witnessed else _ERRNO | errno.EPERM
    watched = _NOTIFY if witnessed else _ALLOW
    code: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if kernel.machine() == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for names, answer in (
        (_ABSENT, _ERRNO | errno.ENOSYS),
        (_MEMORY_WITHOUT_LIMIT, _ERRNO | errno.ENOSYS),
        (_ATTRIBUTES if files_by_landlock else (), _ERRNO | errno.EPERM),
        (TRACING, shown),
        (PRIVILEGES, shown),
        (SIGNALS, watched),
    ):
        for name in names:
            code += _on(name, [(_RETURN, 0, 0, answer)])
    code += _conditions(memory, file_size, shown, watched)
    code += _files(shown, watched)
    code += _about_others(shown)
    return b"".join(struct.pack("=HBBI", *line) for line in [*code, (_RETURN, 0, 0, _ALLOW)])


def install(filter_program: bytes, *, witnessed: bool) -> int | None:
    """Hold this process to a filter; the descriptor to listen at, if it is witnessed. Raises `OSError`."""
    instructions = ctypes.create_string_buffer(filter_program, len(filter_program))
    header = struct.pack("HxxxxxxP", len(filter_program) // 8, ctypes.addressof(instructions))
    result = kernel.call(
        "seccomp", 1, _NEW_LISTENER if witnessed else 0, ctypes.create_string_buffer(header, len(header))
    )
    return result if witnessed else None


def _conditions(memory: int, file_size: int, shown: int, watched: int) -> list[_Instruction]:
    """Calls that are judged by an argument. The C library looks for daemons at local sockets: refused in silence."""
    refused = (_RETURN, 0, 0, shown)
    code = _on(
        "socket",
        [(_LOAD, 0, 0, _ARGUMENTS), (_EQUAL, 0, 1, _AF_UNIX), (_RETURN, 0, 0, _ERRNO | errno.EACCES), refused],
    )
    pair = [
        (_LOAD, 0, 0, _ARGUMENTS),
        (_EQUAL, 0, 5, _AF_UNIX),
        (_LOAD, 0, 0, _ARGUMENTS + 8),
        (_AND, 0, 0, 0xF),
        (_EQUAL, 1, 0, _CONNECTED[0]),
        (_EQUAL, 0, 1, _CONNECTED[1]),
    ]
    code += _on("socketpair", [*pair, (_RETURN, 0, 0, _ALLOW), refused])
    code += _on(
        "clone",
        [(_LOAD, 0, 0, _ARGUMENTS), (_ANY_BIT, 0, 1, NEW_NAMESPACES), refused, (_RETURN, 0, 0, watched)],
    )
    for name in ("fork", "vfork"):
        code += _on(name, [(_RETURN, 0, 0, watched)])
    for name, place, largest in (
        ("mmap", 1, memory),
        ("mremap", 2, memory),
        ("ftruncate", 1, file_size),
        ("fallocate", 3, file_size),
    ):
        code += _on(name, _larger(place, largest, shown))
    return code


def _files(shown: int, watched: int) -> list[_Instruction]:
    """No file that is run as its owner: it would outlast the step, and anybody could run it."""
    code: list[_Instruction] = []
    for name, place in SET_ID.items():
        code += _on(name, _any_bit(place, _SET_ID_BITS, shown))
    for name in OPENING:
        if name == "truncate":
            code += _on(name, [(_RETURN, 0, 0, watched)])
            continue
        flags = {"open": 1, "openat": 2}.get(name)
        mode = 1 if flags is None else flags + 1
        look = [] if flags is None else [(_LOAD, 0, 0, _ARGUMENTS + 8 * flags), (_ANY_BIT, 0, 3, _MAKES_A_FILE)]
        look += [(_LOAD, 0, 0, _ARGUMENTS + 8 * mode), (_ANY_BIT, 0, 1, _SET_ID_BITS)]
        code += _on(name, [*look, (_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, watched)])
    return code


def _about_others(shown: int) -> list[_Instruction]:
    """Calls about a process that an argument names, or that a descriptor would reach."""
    code = _on("prctl", _among(0, (_SET_DUMPABLE,), _ERRNO | errno.EPERM))
    code += _on("process_mrelease", [(_RETURN, 0, 0, _ERRNO | errno.EPERM)])
    code += _on("fcntl", _among(1, _OWN_A_FILE, shown)) + _on("ioctl", _among(1, _CONTROLS, shown))
    refused, granted = (_RETURN, 0, 0, shown), (_RETURN, 0, 0, _ALLOW)
    for name in OTHERS:
        code += _on(name, [(_LOAD, 0, 0, _ARGUMENTS), (_EQUAL, 1, 0, 0), refused, granted])
    for name, kind in RANKS.items():
        first = [(_LOAD, 0, 0, _ARGUMENTS), (_EQUAL, 0, 2, kind)]
        code += _on(name, [*first, (_LOAD, 0, 0, _ARGUMENTS + 8), (_EQUAL, 1, 0, 0), refused, granted])
    return code


def _among(place: int, values: tuple[int, ...], answer: int) -> list[_Instruction]:
    """Answer if an argument is one of `values`; else grant."""
    tests = [(_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * place), *tests, (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, answer)]


def _any_bit(place: int, bits: int, answer: int) -> list[_Instruction]:
    """Answer if an argument has any of `bits`; else grant."""
    test = [(_LOAD, 0, 0, _ARGUMENTS + 8 * place), (_ANY_BIT, 0, 1, bits)]
    return [*test, (_RETURN, 0, 0, answer), (_RETURN, 0, 0, _ALLOW)]


def _on(name: str, then: list[_Instruction]) -> list[_Instruction]:
    """`then`, if the call is `name`. What falls through `then` must have the number loaded again: none does."""
    number = kernel.number(name)
    return [] if number is None else [(_EQUAL, 0, len(then), number), *then]


def _larger(place: int, largest: int, answer: int) -> list[_Instruction]:
    """Answer if an argument, unsigned, exceeds `largest`; else grant. High word first; both are little-endian."""
    low, high = _ARGUMENTS + 8 * place, _ARGUMENTS + 8 * place + 4
    return [
        (_LOAD, 0, 0, high),
        (_GREATER, 3, 0, largest >> 32),
        (_EQUAL, 0, 3, largest >> 32),
        (_LOAD, 0, 0, low),
        (_GREATER, 0, 1, largest & 0xFFFFFFFF),
        (_RETURN, 0, 0, answer),
        (_RETURN, 0, 0, _ALLOW),
    ]

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
    *("mount_setattr", "move_mount", "open_by_handle_at", "open_tree", "pivot_root", "quotactl", "reboot"),
    *("request_key", "setns", "settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare", "userfaultfd"),
)
SIGNALS: Final = ("kill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "tgkill", "tkill")
OPENING: Final = ("creat", "open", "openat", "truncate")
STARTING: Final = ("clone", "fork", "vfork")
_ABSENT: Final = ("clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "openat2")
"""The C library falls back to calls whose arguments a filter can see."""
_MEMORY_WITHOUT_LIMIT: Final = ("memfd_create", "memfd_secret", "mq_open", "shmget")
_ATTRIBUTES: Final = (
    *("chmod", "chown", "fchmodat", "fchmodat2", "fchownat", "futimesat", "lchown", "lremovexattr", "lsetxattr"),
    *("removexattr", "setxattr", "utime", "utimensat", "utimes"),
)
"""Landlock does not govern them."""

NEW_NAMESPACES: Final = 0x7E020080
"""The flags of `clone` that make a namespace (`linux/sched.h`)."""

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_NOTIFY = 0x7FC00000
_KILL = 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_NEW_LISTENER = 8
_X32 = 0x40000000
_AF_UNIX = 1

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
        (OPENING, watched),
    ):
        for name in names:
            code += _on(name, [(_RETURN, 0, 0, answer)])
    code += _conditions(memory, file_size, shown, watched)
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
    code += _on("prlimit64", [(_LOAD, 0, 0, _ARGUMENTS), (_EQUAL, 1, 0, 0), refused, (_RETURN, 0, 0, _ALLOW)])
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

"""System calls that Python 3.11 has no function for, and their numbers on the machines that we know.

Numbers: `asm/unistd_64.h` (x86-64) and `asm-generic/unistd.h` (aarch64) of Linux 6.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chmod": (90, None),
    "chown": (92, None),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "creat": (85, None),
    "delete_module": (176, 106),
    "fallocate": (285, 47),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fcntl": (72, 25),
    "file_setattr": (469, 469),
    "finit_module": (313, 273),
    "fork": (57, None),
    "fremovexattr": (199, 16),
    "fsconfig": (431, 431),
    "fsetxattr": (190, 7),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "ftruncate": (77, 46),
    "futimesat": (261, None),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "landlock_add_rule": (445, 445),
    "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
    "lchown": (94, None),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "mmap": (9, 222),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "mremap": (25, 216),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "open": (2, None),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "openat": (257, 56),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "seccomp": (317, 277),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "settimeofday": (164, 170),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "truncate": (76, 45),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
    "vfork": (58, None),
}
_MACHINES: Final = {"x86_64": 0, "aarch64": 1}
AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_SECURE_NO_SETUID_FIXUP = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_SIGKILL = 9


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def machine() -> str:
    """The machine's name, as the kernel says it."""
    return os.uname().machine


def number(name: str) -> int | None:
    """A system call's number here; None if this machine has none or we do not know the machine."""
    place = _MACHINES.get(machine())
    return None if place is None else NUMBERS[name][place]


def call(name: str, *arguments: Any) -> int:
    """Make a system call. Raises `OSError`; its file name is the call's name."""
    found = number(name)
    if found is None:
        raise OSError(38, f"no number known for it on {machine()}", name)
    whole = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_library().syscall(ctypes.c_long(found), *whole))
    if result < 0:
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem), name)
    return result


def _control(operation: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if _library().prctl(ctypes.c_int(operation), *padded):
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem), f"prctl {operation}")


def die_with_parent(by: int = _SIGKILL) -> None:
    """Get this signal when the parent ends. A change of user or capabilities takes this back."""
    _control(_PR_SET_PDEATHSIG, by)


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process, so that none gets lost."""
    _control(_PR_SET_CHILD_SUBREAPER, 1)


def not_dumpable() -> None:
    """Others of the same user may neither trace this process nor read its memory."""
    _control(_PR_SET_DUMPABLE, 0)


def no_new_privileges() -> None:
    """No program that is started from here gains a privilege by its file's mode or capabilities."""
    _control(_PR_SET_NO_NEW_PRIVS, 1)


def empty_bounding_set(but: int | None = None) -> None:
    """No capability can be had again, but `but`. Does nothing without CAP_SETPCAP: then there is none to drop."""
    for capability in range(64):
        if capability != but:
            try:
                _control(_PR_CAPBSET_DROP, capability)
            except OSError:  # unknown to this kernel, or not ours to drop
                continue


def set_capabilities(mask: int) -> None:
    """Permitted, effective and inheritable capabilities, and no ambient but these."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    if _library().capset(header, data):
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem), "capset")
    _control(_PR_CAP_AMBIENT, 4)
    for capability in range(64):
        if mask >> capability & 1:
            _control(_PR_CAP_AMBIENT, 2, capability)


def keep_capabilities_across_user_change() -> None:
    """A change of user takes none away, and `access` counts those that are kept."""
    _control(_PR_SET_SECUREBITS, _SECURE_NO_SETUID_FIXUP)

"""The step's side: from a fresh process to the program that is confined. Nothing here returns.

The keeper waits for the step and tells the supervisor how it ended. At the level `namespaces` it is the first process
of its namespace, so that its end is the end of all.
"""

from __future__ import annotations

import array  # noqa: F401 - `socket.send_fds` would load it when no file can be opened any more
import errno
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from muster.build.sandbox import filter as seccomp
from muster.build.sandbox import kernel, landlock, namespaces, processes

SPARE_USER = 64_321
"""Lent by root to steps; in nobody's range: neither system, nor login, nor `DynamicUser` of systemd."""

_SMALL_PART = 16
"""Memory asked for in parts smaller than this of the limit is bounded by the kernel and not witnessed."""

_KEEPERS = 2
"""Processes of ours that the kernel counts with the step's; the witness does not."""

_READ_ANY_FILE = 2
"""CAP_DAC_READ_SEARCH."""


@dataclass(frozen=True)
class Order:
    """What the supervisor was asked to run. Sizes in bytes."""

    command: list[str]
    folder: str
    readable: list[str]
    environment: dict[str, str]
    limits: Mapping[str, Any]
    level: str
    umask: int
    user: int

    @property
    def separate(self) -> bool:
        """True if the step gets namespaces."""
        return self.level == "namespaces"


@dataclass(frozen=True)
class Ties:
    """Descriptors between supervisor and keeper, and the user that root lends."""

    status: int
    maps: socket.socket
    listener: socket.socket
    spare: int | None


def hold(order: Order, ties: Ties) -> None:
    """Be the keeper of a step."""
    try:
        if ties.spare is not None:
            os.setgroups([])
        if order.separate:
            _enter(order, ties)
        else:
            os.chdir(order.folder)
            _lower(ties.spare, keep_reading=True)
            kernel.adopt_orphans()
            signal.signal(signal.SIGTERM, _end_with_supervisor)
            kernel.die_with_parent(signal.SIGTERM)
        kernel.not_dumpable()
        step = os.fork()
        if step == 0:
            _become(order, ties)
        ties.listener.close()
        _keep(step, ties.status)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the supervisor is told
        _complain(ties.status, error)
    os._exit(125)


def _enter(order: Order, ties: Ties) -> None:
    """Go on as the first process of new namespaces, in a root of its own, as nobody in particular."""
    namespaces.separate()
    ties.maps.sendall(b"s")
    if ties.maps.recv(1) != b"m":
        raise OSError(errno.EPERM, "the users could not be mapped", "uid_map")
    kernel.die_with_parent()
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        os._exit(0)
    if ties.spare is not None:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    namespaces.build_root(order.readable, order.folder)
    _lower(order.user if ties.spare is not None else None, keep_reading=False)
    kernel.die_with_parent()


def _lower(user: int | None, *, keep_reading: bool) -> None:
    """Be `user`, if one is given, without capabilities. What root may read is hidden by other means, or not at all."""
    kept = keep_reading and user is not None
    if kept:
        kernel.keep_capabilities_across_user_change()
    kernel.empty_bounding_set(but=_READ_ANY_FILE if kept else None)
    if user is not None:
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    kernel.set_capabilities(1 << _READ_ANY_FILE if kept else 0)
    kernel.no_new_privileges()


def _become(order: Order, ties: Ties) -> None:
    """Be the step: limits, files, system calls, and then the program."""
    try:
        os.setsid()
        if not order.separate:
            kernel.die_with_parent()
        _limit(order)
        _reset_signals()
        if order.level == "landlock":
            _restrict_files(order)
        _restrict_calls(order, ties)
        os.execvpe(order.command[0], order.command, order.environment)  # noqa: S606 - no shell is wanted
    except BaseException as error:  # noqa: BLE001 - whatever it is, the supervisor is told
        _complain(ties.status, error)
    os._exit(126)


def _limit(order: Order) -> None:
    limits = order.limits
    most = limits["processes"] + _KEEPERS
    if not order.separate:
        # Outside of a namespace the kernel counts all that this user runs; the spare one may run other steps.
        most += _running(os.getuid())
    bounds = {
        resource.RLIMIT_AS: limits["memory"],
        resource.RLIMIT_FSIZE: limits["file_size"],
        resource.RLIMIT_NPROC: most,
        resource.RLIMIT_NOFILE: limits["open_files"],
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, bound in bounds.items():
        _bound(kind, bound, bound)
    # One more second between the signal that can be heard and the one that cannot.
    seconds = limits["processor_seconds"]
    _bound(resource.RLIMIT_CPU, seconds, seconds + 1)
    os.umask(order.umask)


def _bound(kind: int, soft: int, hard: int) -> None:
    """Set a limit, or leave it where it is lower already: a step of a step has its limits too."""
    now = resource.getrlimit(kind)[1]
    most = hard if now == resource.RLIM_INFINITY else min(hard, now)
    resource.setrlimit(kind, (min(soft, most), most))


def _running(user: int) -> int:
    """Threads that a user runs now."""
    total = 0
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                total += len(os.listdir(place / "task")) if place.stat().st_uid == user else 0  # noqa: PTH208
            except OSError:
                continue
    return total


def _reset_signals() -> None:
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _restrict_files(order: Order) -> None:
    own = (f"/proc/{os.getpid()}", "/proc/cpuinfo", "/proc/meminfo", *namespaces.DEVICES)
    landlock.restrict([*order.readable, *own], [order.folder], namespaces.DEVICES)


def _restrict_calls(order: Order, ties: Ties) -> None:
    """Witnessed if it can be; only one filter of a process can be, and somebody may have one around us."""
    memory = order.limits["memory"]
    bounds = {
        "file_size": order.limits["file_size"],
        "files_by_landlock": order.level == "landlock",
    }
    if kernel.machine() not in kernel.AUDIT_ARCH and order.level == "limits":
        return
    try:
        listener = seccomp.install(
            seccomp.program(**bounds, memory=memory // _SMALL_PART, witnessed=True), witnessed=True
        )
    except OSError:
        try:
            seccomp.install(seccomp.program(**bounds, memory=memory, witnessed=False), witnessed=False)
        except OSError:
            if order.level != "limits":
                raise
        return
    if listener is not None:
        socket.send_fds(ties.listener, [b"l"], [listener])
        os.close(listener)


def _end_with_supervisor(_: int, __: object) -> NoReturn:
    """Without a namespace nothing but this ends what the step started and left."""
    processes.end_all(os.getpid())
    os._exit(125)


def _keep(step: int, status: int) -> None:
    """Wait for the step, and for whatever it left behind; say how it ended."""
    while True:
        ended, result, usage = os.wait4(-1, 0)
        if ended == step:
            break
    told = {
        "status": result,
        "processor": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * 1024,
    }
    os.write(status, json.dumps(told).encode() + b"\n")
    os._exit(0)


def _complain(status: int, error: BaseException) -> None:
    where = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    os.write(status, json.dumps({"setup": f"{text or type(error).__name__}{where}"}).encode() + b"\n")
    sys.stderr.flush()

"""The process between the controller and a step: sets it up, watches it, ends it, reports.

    controller ── order, then silence ──▶ supervisor ──▶ keeper ──▶ step
               ◀── report, one line ────

The order is one line of JSON on standard input; when that ends, whoever asked is gone, and the step is ended. Run as
`python -I -S`: the standard library, and nothing from the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from muster.build.sandbox import kernel, namespaces, processes
from muster.build.sandbox.folder import MOST_DEPTH, flatten, give, measure
from muster.build.sandbox.step import SPARE_USER, Order, Ties, hold
from muster.build.sandbox.witness import Attempts, Witness

_LOOK_SECONDS = 0.2
_LOOK_AT_FOLDER_SECONDS = 1.0


def main() -> None:
    """Carry out the order on standard input; the report goes to the descriptor that is named by the last argument."""
    report = int(sys.argv[-1])
    # It came across one exec and must not across another: a step that had it could report of itself.
    os.set_inheritable(report, False)
    with os.fdopen(os.dup(0), "rb", buffering=0) as incoming:
        line = b""
        while not line.endswith(b"\n"):
            part = incoming.read(2**16)
            if not part:
                return
            line += part
    os.write(report, json.dumps(_run(Order(**json.loads(line)))).encode() + b"\n")


def _run(order: Order) -> dict[str, Any]:
    kernel.adopt_orphans()
    spare = _spare_user()
    if spare is not None:
        give(order.folder, spare)
    status, told = os.pipe()
    maps, maps_inside = socket.socketpair()
    listener, listener_inside = socket.socketpair()
    keeper = os.fork()
    if keeper == 0:
        os.close(status)
        _no_input()
        maps.close()
        listener.close()
        hold(order, Ties(told, maps_inside, listener_inside, spare))
    os.close(told)
    maps_inside.close()
    listener_inside.close()
    try:
        _map_users(order, keeper, maps, spare)
        return _Watch(order, keeper, (status, listener)).report()
    finally:
        processes.end_all(os.getpid())
        flatten(order.folder)
        if spare is not None:
            give(order.folder, os.geteuid(), only_from=spare)


def _spare_user() -> int | None:
    """The user that this process, being root, can lend; None if it is not root, or a root that has no other user."""
    if os.geteuid() != 0:
        return None
    for name in ("uid_map", "gid_map"):
        ranges = [tuple(map(int, line.split())) for line in Path(f"/proc/self/{name}").read_text().splitlines()]
        if not any(inside <= SPARE_USER < inside + length for inside, _, length in ranges):
            return None
    return SPARE_USER


def _no_input() -> None:
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _map_users(order: Order, keeper: int, maps: socket.socket, spare: int | None) -> None:
    """Answer the keeper once it has separated; if it could not, it has told why."""
    with maps:
        if order.separate and maps.recv(1) == b"s":
            with contextlib.suppress(OSError):
                namespaces.write_maps(keeper, order.user, spare)
                maps.sendall(b"m")


class _Watch:
    """Waits for the end of a step, and looks at what it uses."""

    def __init__(self, order: Order, keeper: int, hears: tuple[int, socket.socket]) -> None:
        self._order = order
        self._keeper = keeper
        self._status, self._listener = hears
        self._witness: Witness | None = None
        self._notices = -1
        self._attempts = Attempts()
        self._began = time.monotonic()
        self._looked_at_folder = self._began
        self._poll = select.poll()
        for descriptor in (0, self._status, self._listener.fileno()):
            self._poll.register(descriptor, select.POLLIN)

    def report(self) -> dict[str, Any]:
        """How it ended."""
        ended_by, told = self._wait()
        wall = time.monotonic() - self._began
        processes.end_all(os.getpid())
        result = told.get("status")
        number = os.WTERMSIG(result) if result is not None and os.WIFSIGNALED(result) else None
        ended_by = ended_by or self._limit_behind(number, told)
        limits = self._order.limits
        if told.get("memory", 0) >= min(limits["memory"], limits["resident"]) * 8 // 10:
            self._attempts.add("memory", f"{told['memory']} bytes resident")
        excess = self._folder_excess(final=True)
        if ended_by is None and excess:
            ended_by = "folder-size"
        return {
            "setup": told.get("setup"),
            "code": os.WEXITSTATUS(result) if result is not None and os.WIFEXITED(result) else None,
            "signal": number,
            "ended_by": ended_by,
            "attempts": self._attempts.as_data(),
            "processor_seconds": told.get("processor", 0.0),
            "wall_seconds": wall,
            "peak_memory": told.get("memory", 0),
        }

    def _wait(self) -> tuple[str | None, dict[str, Any]]:
        """The limit that ended it, if we did; what the keeper told."""
        look = self._began
        while True:
            now = time.monotonic()
            if now >= self._began + self._order.limits["wall_seconds"]:
                self._attempts.add("wall-clock", f"more than {self._order.limits['wall_seconds']} s")
                return "wall-clock", {}
            if now >= look:
                excess = self._excess(now)
                if excess:
                    return excess, {}
                look = time.monotonic() + _LOOK_SECONDS
            for descriptor, _ in self._poll.poll(max(1, int((look - now) * 1000))):
                if descriptor == 0:
                    return "stopped", {}
                if descriptor == self._status:
                    return None, self._told()
                self._hear(descriptor)

    def _told(self) -> dict[str, Any]:
        text = os.read(self._status, 2**16).partition(b"\n")[0]
        return json.loads(text) if text else {"setup": "the keeper of the step ended"}

    def _hear(self, descriptor: int) -> None:
        if descriptor == self._notices and self._witness:
            self._witness.answer()
            return
        self._poll.unregister(self._listener.fileno())
        _, received, _, _ = socket.recv_fds(self._listener, 1, 1)
        if received:
            self._notices = received[0]
            self._witness = Witness(self._notices, self._keeper, self._order, self._attempts)
            self._poll.register(self._notices, select.POLLIN)

    def _excess(self, now: float) -> str | None:
        """The limit that all processes together exceed."""
        limit = self._order.limits["resident"]
        used = [processes.memory(process) for process in processes.descendants(os.getpid())]
        resident = sum(each[1] for each in used)
        if resident > limit:
            self._attempts.add("memory", f"{resident} bytes resident in {len(used)} processes")
            return "memory"
        if now >= self._looked_at_folder + _LOOK_AT_FOLDER_SECONDS:
            self._looked_at_folder = now
            return "folder-size" if self._folder_excess(final=False) else None
        return None

    def _folder_excess(self, *, final: bool) -> bool:
        limits = self._order.limits
        found = measure(self._order.folder, limits["folder_entries"])
        if final and found.largest >= limits["file_size"]:
            self._attempts.add("file-size", f"{found.longest} reached {found.largest} bytes")
        size = found.size + (0 if final else processes.nameless(processes.descendants(os.getpid())))
        if size > limits["folder_size"] or found.entries > limits["folder_entries"]:
            self._attempts.add("folder-size", f"{size} bytes in {found.entries} entries")
        elif found.deep:
            self._attempts.add("folder-size", f"folders within folders, more than {MOST_DEPTH}")
        elif found.closed:
            self._attempts.add("folder-size", f"{found.closed} folders that cannot be looked into")
        else:
            return False
        return True

    def _limit_behind(self, number: int | None, told: dict[str, Any]) -> str | None:
        """The limit by which the kernel ended it."""
        if number == signal.SIGXFSZ:
            self._attempts.add("file-size", f"a file of more than {self._order.limits['file_size']} bytes")
            return "file-size"
        seconds = self._order.limits["processor_seconds"]
        # What the kernel compares is a little more than what it reports of a process that it ended.
        used_up = number == signal.SIGXCPU or told.get("processor", 0.0) >= seconds * 0.95
        if not used_up:
            return None
        self._attempts.add("processor-time", f"more than {seconds} s")
        return "processor-time" if number in (signal.SIGXCPU, signal.SIGKILL) else None

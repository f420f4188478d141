"""Running a command in the sandbox, from the controller's side."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from muster.build.sandbox.confinement import Attempt, Confinement, Level, Limits, Outcome
from muster.build.sandbox.readable import SYSTEM, muster_folder, this_interpreter
from muster.build.sandbox.within import CONFINED, is_confined, run_within
from muster.kinds.errors import Refused, TryAgain

_GRACE_SECONDS = 30
"""What the supervisor may take to set up, to end everything and to report."""
_MOST_REPORT = 2**20
_BEGIN: Final = "import sys; sys.path.insert(0, sys.argv[1]); from muster.build.sandbox.supervisor import main; main()"


class CannotHold(Refused):
    """The machine does not let a step be held at the level that was asked for."""


class Running:
    """A step that was started. `stop` may be called by any thread."""

    def __init__(self, command: Sequence[str], confinement: Confinement) -> None:
        self._confinement = confinement
        self._began = time.monotonic()
        self._report, report = os.pipe()
        root = str(muster_folder())
        try:
            self._supervisor = subprocess.Popen(  # noqa: S603 - our own program, arguments are no shell
                [sys.executable, "-I", "-S", "-c", _BEGIN, root, str(report)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"LC_ALL": "C.UTF-8"},
                cwd="/",
                pass_fds=(report,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._report)
            raise
        finally:
            os.close(report)
        self._send(_order(command, confinement))

    def stop(self) -> None:
        """End the step and all that it started; `wait` then returns."""
        if self._supervisor.stdin:
            with contextlib.suppress(OSError):
                self._supervisor.stdin.close()

    def wait(self) -> Outcome:
        """How it ended. Raises `CannotHold` if it could not be set up so, `TryAgain` if its supervisor is gone."""
        limits = self._confinement.limits
        try:
            with selectors.DefaultSelector() as streams:
                kept = {name: bytearray() for name in ("stdout", "stderr", "report")}
                self._watch(streams, kept)
                dropped = _drain(streams, kept, self._began + limits.wall_seconds + _GRACE_SECONDS, limits.output)
        finally:
            self._end()
        return self._outcome(kept, dropped)

    def _send(self, order: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            pipe = self._supervisor.stdin
            if pipe:
                pipe.write(json.dumps(order).encode() + b"\n")
                pipe.flush()

    def _watch(self, streams: selectors.BaseSelector, kept: Mapping[str, bytearray]) -> None:
        places = (self._supervisor.stdout, self._supervisor.stderr, self._report)
        for name, place in zip(kept, places, strict=True):
            if place is not None:
                streams.register(place, selectors.EVENT_READ, name)

    def _end(self) -> None:
        """The supervisor has reported or is too late. Its end is the end of the keeper, and so of the step."""
        self.stop()
        try:
            self._supervisor.wait(timeout=_GRACE_SECONDS / 10)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        for pipe in (self._supervisor.stdout, self._supervisor.stderr):
            if pipe:
                pipe.close()
        os.close(self._report)

    def _outcome(self, kept: Mapping[str, bytearray], dropped: int) -> Outcome:
        level = self._confinement.level
        try:
            told = json.loads(bytes(kept["report"]))
        except ValueError:
            complaint = bytes(kept["stderr"]).decode(errors="replace").strip()[-500:]
            raise TryAgain(f"the supervisor of the sandbox ended without a report: {complaint}") from None
        if told["setup"]:
            raise CannotHold(
                f"a step cannot be started in the sandbox at the level {level.word}: {told['setup']}",
                "allow user namespaces to this user, or accept a weaker level",
            )
        attempts = tuple(Attempt(name, example, count) for name, example, count in told["attempts"])
        if dropped:
            beyond = f"{dropped} bytes more than {self._confinement.limits.output}"
            attempts = (*attempts, Attempt("output", beyond))
        return Outcome(
            level=level,
            code=told["code"],
            signal=told["signal"],
            ended_by=told["ended_by"],
            attempts=attempts,
            processor_seconds=told["processor_seconds"],
            wall_seconds=told["wall_seconds"],
            peak_memory=told["peak_memory"],
            stdout=bytes(kept["stdout"]),
            stderr=bytes(kept["stderr"]),
        )


def run(
    command: Sequence[str],
    *,
    folder: Path,
    readable: Sequence[Path] = (),
    limits: Limits | None = None,
    level: Level = Level.NAMESPACES,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a command in `folder`, its own, at exactly this level (see `strongest`), and wait for its end.

    The system and this interpreter can be read as well as `readable`. Raises `CannotHold` if the kernel does not let
    it be held so, or there is no such program; `TryAgain` if the supervisor was killed.
    """
    return run_confined(command, Confinement(folder, tuple(readable), limits or Limits(), level, environment or {}))


def run_confined(command: Sequence[str], confinement: Confinement) -> Outcome:
    """Run a command so and wait for its end, as `run` does. A step's own steps are held by what holds the step."""
    if is_confined():
        environment = {**_environment(str(confinement.folder)), **confinement.environment}
        return run_within(command, confinement, environment)
    return Running(command, confinement).wait()


def strongest(lowest: Level) -> Level:
    """The strongest level that this machine has. Raises `Refused` if it is below `lowest`; what was tried is kept.

    A step may run steps; what holds it holds them too, so that `limits` is enough there.
    """
    if is_confined():
        return Level.LIMITS
    found, problems = _probe()
    if found >= lowest:
        return found
    raise Refused(
        f"the strongest sandbox here is {found.word}, and {lowest.word} is the weakest that is accepted"
        f" ({'; '.join(problems)})",
        f"allow user namespaces to this user, or accept {found.word} on purpose",
    )


@functools.cache
def _probe() -> tuple[Level, tuple[str, ...]]:
    """The strongest level, found by running a program at each, and why not the ones above."""
    problems = []
    for level in (Level.NAMESPACES, Level.LANDLOCK):
        with tempfile.TemporaryDirectory(prefix="muster-sandbox-") as folder:
            try:
                outcome = run([sys.executable, "-I", "-S", "-c", ""], folder=Path(folder), limits=Limits(), level=level)
            except CannotHold as error:
                problems.append(error.message)
                continue
            if outcome.succeeded:
                return level, tuple(problems)
            problems.append(f"{level.word}: {outcome.explain()}")
    return Level.LIMITS, tuple(problems)


def _order(command: Sequence[str], confinement: Confinement) -> dict[str, Any]:
    readable = dict.fromkeys((*SYSTEM, *this_interpreter(), *confinement.readable))
    folder = str(confinement.folder.resolve())
    return {
        "command": list(command),
        "folder": folder,
        "readable": [str(path.absolute()) for path in readable],
        "environment": {**_environment(folder), **confinement.environment},
        "limits": asdict(confinement.limits),
        "level": confinement.level.word,
        "umask": confinement.umask,
        "user": confinement.user,
    }


def _environment(folder: str) -> dict[str, str]:
    """All that a step is told, unless its caller adds to it: nothing of ours, and the same everywhere."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": folder,
        "TMPDIR": folder,
        "LOGNAME": "step",
        CONFINED: "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": str(muster_folder()),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": "0",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def _drain(streams: selectors.BaseSelector, kept: Mapping[str, bytearray], until: float, most: int) -> int:
    """Read until every stream ended; how many bytes of output were more than is kept. Gives up at `until`."""
    dropped = 0
    while streams.get_map() and (left := until - time.monotonic()) > 0:
        for key, _ in streams.select(left):
            part = os.read(key.fd, 2**16)
            if not part:
                streams.unregister(key.fileobj)
                continue
            place = kept[key.data]
            room = max(0, (_MOST_REPORT if key.data == "report" else most) - len(place))
            place += part[:room]
            dropped += len(part) - min(room, len(part))
    return dropped

"""The one place that starts the process of a build: a folder of its own, a surrounding that is listed here, a clock.

`Circumstances` holds what a varied build varies on purpose; nothing else of this process's environment goes in.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from muster.build.sandbox.confinement import Level, Limits
from muster.build.sandbox.run import run, strongest
from muster.kinds.errors import TryAgain, Unusable

SECONDS: Final = 3_600
_TOLD: Final = 2_000
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_VARIABLES: Final = {"PYTHONHASHSEED": "0", "ORT_DISABLE_TELEMETRY": "1"}
_EMULATED_MEMORY: Final = 2**46
_HINT: Final = "build again; where it stays, look at memory and at what the model asks for"


@dataclass(frozen=True)
class Circumstances:
    """`emulator`: a command that runs the interpreter on another CPU, such as qemu-x86_64 -cpu Nehalem.

    `inside`: the name of the folder that it works in, below the one that is made for it. `user`: the number of the
    user that it runs as, where this process may choose; what lies in the folder is given to that user.
    """

    variables: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    umask: int = 0o022
    emulator: tuple[str, ...] = ()
    inside: str = ""
    user: int | None = None
    seconds: int = SECONDS


def run_process(
    command: Sequence[str],
    *,
    folder: Path,
    readable: Sequence[Path],
    circumstances: Circumstances | None = None,
    lowest: Level = Level.LANDLOCK,
) -> None:
    """Run `command` in the sandbox, in `folder`, the only place that it may write to; beside it, it reads `readable`.

    As another user, which only a varied build asks for, it runs without the sandbox: that would choose the user.
    Raises `Unusable` if it does not end by itself and well, `Refused` if the sandbox is weaker than `lowest`,
    `TryAgain` if it cannot be started.
    """
    around = circumstances or Circumstances()
    if around.user is not None:
        _run_as(around, command, folder)
        return
    outcome = run(
        [*around.emulator, *command],
        folder=folder,
        readable=readable,
        limits=_limits(around),
        level=strongest(lowest),
        environment={**_VARIABLES, **around.variables},
    )
    if not outcome.succeeded:
        words = outcome.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise Unusable(f"the build's process {outcome.explain()}: {words[-1][:300]}", _HINT)


def _limits(around: Circumstances) -> Limits:
    # An emulator reserves addresses for all that its guest could ask for.
    memory = _EMULATED_MEMORY if around.emulator else Limits().memory
    return Limits(memory=memory, processor_seconds=around.seconds, wall_seconds=around.seconds)


def _run_as(around: Circumstances, command: Sequence[str], folder: Path) -> None:
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    with (folder / "said").open("wb") as said:
        try:
            _give(folder, around)
            process = subprocess.Popen(  # noqa: S603 - an interpreter that was looked at, a zip of ours
                [*around.emulator, *command],
                cwd=folder,
                env={**variables, **_VARIABLES, **around.variables},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                **_identity(around.user),
            )
        except OSError as error:
            raise TryAgain(f"the build's process cannot be started: {error.strerror}") from error
        _wait(process, around.seconds)
    if process.returncode:
        raise Unusable(f"the build's process {_ending(process.returncode)}: {_last_words(folder / 'said')}", _HINT)


def _give(folder: Path, around: Circumstances) -> None:
    top = folder.parent if around.inside else folder
    for path in (top, *top.rglob("*")):
        os.chown(path, around.user if around.user is not None else -1, -1, follow_symlinks=False)


def _identity(user: int | None) -> dict[str, Any]:
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def _wait(process: subprocess.Popen[bytes], seconds: int) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired as error:
        raise Unusable(
            f"the build's process took more than {seconds} seconds", "build on a faster machine, or a smaller model"
        ) from error
    finally:
        # Its children too, also those that it left behind: the session is theirs alone.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _last_words(file: Path) -> str:
    with file.open("rb") as said:
        said.seek(max(0, file.stat().st_size - _TOLD))
        words = said.read().decode(errors="replace").strip().splitlines()
    return words[-1][:300] if words else "it said nothing"

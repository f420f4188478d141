"""The one place that starts the process of a build: in the sandbox, in a folder of its own, in listed circumstances.

`Circumstances` holds what a varied build varies on purpose; nothing else of this process's environment goes in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from muster.build.sandbox.confinement import Confinement, Level, Limits
from muster.build.sandbox.run import run_confined, strongest
from muster.kinds.errors import Unusable

SECONDS: Final = 3_600
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_EMULATED_MEMORY: Final = 2**46


@dataclass(frozen=True)
class Circumstances:
    """`emulator`: a command that runs the interpreter on another CPU, such as qemu-x86_64 -cpu Nehalem.

    `inside`: the name of the folder that it works in, below the one that is made for it. `user`: the number of the
    user that it takes itself for, where this machine has namespaces.
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

    Raises `Unusable` if it does not end by itself and well, `Refused` if the sandbox is weaker than `lowest` or it
    cannot be started in it, `TryAgain` if the sandbox itself was ended.
    """
    around = circumstances or Circumstances()
    # An emulator is told where another machine's libraries lie.
    named = tuple(Path(word) for word in around.emulator if word.startswith("/") and Path(word).exists())
    confinement = Confinement(
        folder, (*readable, *named), _limits(around), strongest(lowest), around.variables, around.umask
    )
    if around.user is not None:
        confinement = replace(confinement, user=around.user)
    outcome = run_confined([*around.emulator, *command], confinement)
    if not outcome.succeeded:
        words = outcome.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise Unusable(
            f"the build's process {outcome.explain()}: {words[-1][:300]}",
            "build again; where it stays, look at memory and at what the model asks for",
        )


def _limits(around: Circumstances) -> Limits:
    # An emulator reserves addresses for all that its guest could ask for.
    memory = _EMULATED_MEMORY if around.emulator else Limits().memory
    return Limits(memory=memory, processor_seconds=around.seconds, wall_seconds=around.seconds)

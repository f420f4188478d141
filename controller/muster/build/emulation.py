"""Another CPU on this machine: qemu-user runs an interpreter as one of the models that it knows.

What runs there is the arithmetic of that model's instructions, so that the kernels which a library picks by them are
that CPU's. Time there says nothing.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from dataclasses import replace
from typing import Final

from muster.build.measuring.machine import Machine
from muster.kinds.errors import TryAgain, Unusable

_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KNOWN: Final = re.compile(r"^x86 +([A-Za-z0-9._-]+)", re.MULTILINE)
_PROGRAMS: Final = ("qemu-x86_64", "qemu-x86_64-static")
_ASK_SECONDS: Final = 30


def emulator(cpu: str) -> tuple[str, ...]:
    """The command that runs another one on that CPU. Raises `Unusable` if this machine cannot be it, `TryAgain`."""
    if platform.machine() != "x86_64":
        raise Unusable(
            f"this machine is {platform.machine()}: its interpreter is not one for x86-64",
            "emulate on an x86-64 machine",
        )
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        raise Unusable("qemu-x86_64 is not installed", "apt-get install qemu-user")
    if not _MODEL.fullmatch(cpu) or cpu not in _known(program):
        raise Unusable(f"qemu knows no CPU {cpu[:64]!a}", f"choose one of: {program} -cpu help")
    return program, "-cpu", cpu


def emulated(machine: Machine, cpu: str) -> Machine:
    """What this machine is while it emulates: no instructions of its own, and a name that says so."""
    return replace(machine, cpu=f"{machine.architecture}/emulated/{cpu}", flags=frozenset())


def _known(program: str) -> frozenset[str]:
    try:
        done = subprocess.run(  # noqa: S603 - qemu itself
            [program, "-cpu", "help"], capture_output=True, timeout=_ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TryAgain(
            f"{program} does not say which CPUs it knows: {error}", f"see that it answers: {program} -cpu help"
        ) from error
    return frozenset(_KNOWN.findall(done.stdout.decode(errors="replace")))

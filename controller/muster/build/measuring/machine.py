"""What this machine is, and whether it can be a device of a class."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from muster import __version__
from muster.build.environment import tool_versions
from muster.kinds.device_class import DeviceClass
from muster.kinds.errors import Refused

_LEVEL_2: Final = frozenset({"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"})
_LEVEL_3: Final = _LEVEL_2 | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}
_LEVEL_4: Final = _LEVEL_3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
LEVELS: Final[Mapping[str, frozenset[str]]] = {
    "x86-64": frozenset(),
    "x86-64-v1": frozenset(),
    "x86-64-v2": _LEVEL_2,
    "x86-64-v3": _LEVEL_3,
    "x86-64-v4": _LEVEL_4,
}
"""Flags of the levels of x86-64, as Linux names them (System V ABI, table 3.1)."""

_ARM: Final = frozenset({"aarch64", "arm64", "armv8", "armv8-a"})
_TELLING: Final = (
    "avx", "avx2", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip
"""The flags that decide which integer kernels a runtime picks."""


@dataclass(frozen=True)
class Machine:
    """`cpu`: vendor/family/model, which is what two machines must differ in to count as different."""

    architecture: str
    cpu: str
    flags: frozenset[str]
    processors: int
    system: str

    def described(self) -> dict[str, str]:
        """For the environment of a measurement."""
        return {
            "architecture": self.architecture,
            "cpu": self.cpu,
            "isa": " ".join(flag for flag in _TELLING if flag in self.flags) or "none of note",
            "processors": str(self.processors),
            "os": self.system,
        }


def this_machine(cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    """The machine that this process runs on."""
    try:
        with cpuinfo.open(errors="replace") as file:
            text = file.read(256 * 1024)
    except OSError:
        text = ""
    return machine_of(text, platform.machine())


def machine_of(cpuinfo: str, architecture: str) -> Machine:
    """The machine that Linux describes so: its first processor counts."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    names = ("vendor_id", "cpu family", "model")
    if "cpu implementer" in fields:
        names = ("cpu implementer", "cpu architecture", "cpu part")
    cpu = "/".join([architecture, *(fields.get(name, "unknown") for name in names)])
    flags = fields.get("flags", fields.get("features", ""))
    return Machine(architecture, cpu, frozenset(flags.split()), os.cpu_count() or 1, _system())


def software() -> dict[str, str]:
    """Versions of everything that may show in a number. Raises `Unusable` if a tool is missing."""
    found = {**tool_versions(), "muster": __version__, "python": platform.python_version()}
    return {**found, "scipy": importlib.metadata.version("scipy")}


def refuse_other_class(machine: Machine, declared: DeviceClass) -> None:
    """Raises `Refused` if this machine cannot be a device of the class: another ISA, or another runtime's version.

    That it *is* one, whoever signs says: its board, its cooling and its OS image are not looked into.
    """
    name, runtime = declared.metadata.name, declared.spec.runtime
    installed = importlib.metadata.version(runtime.name)
    if installed != runtime.version:
        raise Refused(
            f"this machine has {runtime.name} {installed}, {name} declares {runtime.version}",
            "measure with the runtime that the devices have",
        )
    refuse_other_instructions(machine, declared)


def refuse_other_instructions(machine: Machine, declared: DeviceClass) -> None:
    """Raises `Refused` if this machine lacks instructions that the class declares."""
    name = declared.metadata.name
    lacking = [isa for isa in declared.spec.isa if not _has(machine, isa)]
    if lacking:
        raise Refused(
            f"this machine ({machine.cpu}) lacks {', '.join(lacking)}, which {name} declares",
            f"measure on a device of {name}",
        )


def _has(machine: Machine, isa: str) -> bool:
    if isa in LEVELS:
        return machine.architecture in {"x86_64", "AMD64"} and LEVELS[isa] <= machine.flags
    if isa in _ARM:
        return machine.architecture in {"aarch64", "arm64"}
    return isa.replace("-", "_") in machine.flags


def _system() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return f"{release.get('ID', platform.system().lower())} {release.get('VERSION_ID', 'unknown')}"[:200]

"""What the runtimes of devices can load, and which instruction sets they run on.

Found by asking: `python -m muster.build.onnx_safety.asking`, run with each version installed, offers it a model with
one operator in every opset from 1 to 64 and every IR version from 1 to 64, and prints from the answers the rows that
stand here. tests/kinds/test_runtimes.py asks the installed one again. Between patch versions nothing changes, so the
table goes by minor version; a version that is not in it is not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Loadable:
    """The opsets of the default domain, and the newest IR version, that a runtime loads. Every older IR loads too."""

    least_opset: int
    most_opset: int
    most_ir: int


ONNX_RUNTIMES: Final[Mapping[str, Loadable]] = {
    "1.20": Loadable(6, 21, 10),
    "1.21": Loadable(6, 22, 10),
    "1.22": Loadable(6, 22, 10),
    "1.23": Loadable(6, 23, 11),
    "1.24": Loadable(6, 25, 13),
    "1.25": Loadable(6, 26, 13),
    "1.26": Loadable(6, 26, 13),
    "1.27": Loadable(6, 26, 13),
    "1.28": Loadable(6, 26, 13),
    "1.29": Loadable(6, 26, 13),
    "1.30": Loadable(6, 26, 13),
    "1.31": Loadable(6, 26, 13),
}

_RELEASED = re.compile(r"([0-9]+\.[0-9]+)\.[0-9]+")


def loadable(version: str) -> Loadable | None:
    """What this version of onnxruntime loads; None for versions, and for builds, that nobody has asked."""
    match = _RELEASED.fullmatch(version)
    return ONNX_RUNTIMES.get(match[1]) if match else None


@dataclass(frozen=True)
class InstructionSet:
    """`dot_products`: it multiplies 8-bit values into 32-bit sums, so that no product of int8 weights saturates."""

    family: Literal["x86", "arm"]
    dot_products: bool


INSTRUCTION_SETS: Final[Mapping[str, InstructionSet]] = {
    "x86-64": InstructionSet("x86", dot_products=False),
    "x86-64-v2": InstructionSet("x86", dot_products=False),
    "x86-64-v3": InstructionSet("x86", dot_products=False),
    "x86-64-v4": InstructionSet("x86", dot_products=False),
    "avx-vnni": InstructionSet("x86", dot_products=True),
    "avx512-vnni": InstructionSet("x86", dot_products=True),
    "amx-int8": InstructionSet("x86", dot_products=True),
    # On Arm the sums are wide with and without the dot product instruction.
    "armv7-a": InstructionSet("arm", dot_products=True),
    "armv8-a": InstructionSet("arm", dot_products=True),
    "armv8-2-a": InstructionSet("arm", dot_products=True),
    "armv9-a": InstructionSet("arm", dot_products=True),
}

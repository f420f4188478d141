"""GateKind: what one row of the table of gates says of its metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from muster.kinds.policy import RelativeTo
from muster.kinds.quantity import Dimension

Reads = Literal["measurement", "slices", "rebuild", "signature", "provenance", "size", "compatibility"]
Scope = Literal["release", "class", "budget", "asked"]
Budget = Literal["storage", "peak_ram", "load_time", "p95_latency"]
Snapshot = Literal["calibration", "evaluation"]

MEASURE: Final = "muster measure {path} --key KEY"
ON_CLASS: Final = "muster measure {path} --class {device_class} --key KEY"
ON_REFERENCE: Final = "muster measure {path} --class {device_class} --from RECORD --key KEY"
"""With what the agent of a reference device recorded."""


@dataclass(frozen=True)
class GateKind:
    """One metric.

    `scope`: one verdict for the release; or one for each device class that it goes to; `budget`: for each class if the
    threshold is relative to a budget; `asked`: for one class if the gate names it. `most` is the
    largest value that there is; the smallest is 0. `interval`: where the bounds come from.
    `timed`: it is a time that depends on the machine. `answers`: it is about answers, which depend on the CPU's
    instructions; a class that declares its CPU is asked about too.
    `command` makes the evidence; empty where the release's declaration answers.
    """

    title: str
    says: str
    reads: Reads
    dimension: Dimension
    better: Literal["more", "less"]
    scope: Scope
    satisfy: str
    example: Mapping[str, str | int]
    relative_to: tuple[RelativeTo, ...] = ("absolute",)
    interval: Literal["counts", "evidence", "none"] = "none"
    samples: bool = True
    share: bool = False
    sliced: bool = False
    timed: bool = False
    answers: bool = False
    budget: Budget | None = None
    snapshots: tuple[Snapshot, ...] = ()
    most: str | None = None
    command: str = MEASURE

    @property
    def comparators(self) -> tuple[str, ...]:
        """Those that ask for the better side, and equality."""
        return (">=", ">", "==") if self.better == "more" else ("<=", "<", "==")

"""What feedback of a DDI client means: one table, from `status.execution` and `status.result.finished` to a phase.

hawkBit's words and what its server makes of them stand in its DDI API v1
(https://eclipse.dev/hawkbit/rest-api/ddi/). The one difference is on purpose: there, success is the end. Here it means
that the package is *installed*, which is the phase `activated`; `confirmed` and `healthy` need a second signal, because
a client may report success before the model has answered anything, and some do before the restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from muster.kinds.phases import Phase

Execution = Literal["closed", "proceeding", "canceled", "scheduled", "rejected", "resumed", "download", "downloaded"]
Finished = Literal["success", "failure", "none"]
State = Literal["open", "installed", "failed", "cancelled"]
"""Of an action: under way, or how it ended."""


@dataclass(frozen=True)
class Meaning:
    """What becomes of the action, and into which phase the device comes with the release (None: it stays)."""

    state: State
    phase: Phase | None
    error_code: str | None = None


_STAYS: Final = Meaning("open", None)
_INSTALLED: Final = Meaning("installed", "activated")

MEANINGS: Final[Mapping[tuple[Execution, Finished], Meaning]] = MappingProxyType({
    **{(execution, finished): _STAYS for execution in get_args(Execution) for finished in get_args(Finished)},
    **{("downloaded", finished): Meaning("open", "downloaded") for finished in get_args(Finished)},
    ("closed", "success"): _INSTALLED,
    ("closed", "none"): _INSTALLED,
    ("closed", "failure"): Meaning("failed", "failed", "install_failed"),
})  # fmt: skip

CANCEL_ANSWERS: Final[Mapping[tuple[Execution, Finished], State]] = MappingProxyType({
    **{(execution, finished): "open" for execution in get_args(Execution) for finished in get_args(Finished)},
    ("closed", "success"): "cancelled",
    ("closed", "none"): "cancelled",
})  # fmt: skip
"""What becomes of an action that the client was asked to give up. `rejected`, or `closed` with failure: it goes on."""

RETRIEVED: Final[Phase] = "offered"
"""The phase that a client comes into when it first asks for the details of an action."""
UNHEALTHY: Final = "unhealthy"

"""Writes the tables of docs/guardrails.md: what a guardrail can be about, and how long a device may take."""

from __future__ import annotations

from muster.kinds.guardrails import GUARDRAIL_KINDS
from muster.kinds.phases import TIME_LIMITS
from muster.kinds.quantity import format_duration


def guardrails() -> str:
    """Every metric: what it says, of which shape it is, which way is worse, what a report holds of it."""
    rows = "".join(
        f"| `{metric}` | {kind.says} | {kind.shape} | {kind.dimension} | {kind.worse} "
        f"| {', '.join(f'`{field}`' for field in kind.reads)} |\n"
        for metric, kind in GUARDRAIL_KINDS.items()
    )
    head = "| metric | what it is about | judged as | limit is a | worse is | read from |\n|---|---|---|---|---|---|\n"
    return head + rows


def time_limits() -> str:
    """How long a device may stay in a phase of mid-update."""
    rows = "".join(
        f"| {phase} | {format_duration(limit.silent * 1_000)} | {format_duration(limit.longest * 1_000)} |\n"
        for phase, limit in TIME_LIMITS.items()
    )
    return f"| phase | silent | at all |\n|---|---|---|\n{rows}"

"""Writes the tables of docs/guardrails.md: what a guardrail can be about, and how long a device may take."""

from __future__ import annotations

from muster.kinds.guardrails import GUARDRAIL_KINDS
from muster.kinds.phases import TIME_LIMITS
from muster.kinds.ppm import PPM
from muster.kinds.quantity import format_duration, parse_percent
from muster.plan.statistics.explain import until_harm, until_no_worse
from muster.plan.statistics.family import Terms
from muster.plan.statistics.questions import ShareLimit, Shares

LIMITS = ("1%", "2%", "5%", "10%", "20%", "25%", "50%")
QUESTIONS = (4, 20, 120)


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


def deciding() -> str:
    """How many devices decide against a limit from nothing, by how many questions share the declared error."""
    head = "".join(f" harm, of {questions} |" for questions in QUESTIONS)
    rows = ""
    for limit in LIMITS:
        question = ShareLimit(parse_percent(limit) / PPM)
        fails = [until_harm(question, Shares(), Terms(tests=tests, min_devices=2)) for tests in QUESTIONS]
        cells = [*fails, until_no_worse(question, Shares(), Terms())]
        rows += f"| {limit} | {' | '.join(map(str, cells))} |\n"
    return f"| limit |{head} no worse |\n|---|{'---|' * len(QUESTIONS)}---|\n{rows}"

"""Transitions: whether what a change brings forward may go there now.

Percentages move along the declared steps (`steps`), after the soak of the step before and while the guardrails hold
(`standing`), with a way back (`way_back`), and outside of freezes (`freezes`). What only takes devices back is not held
up by steps and soak, on purpose: the verdict says so. That every transition is logged is the ledger's doing.
"""

from __future__ import annotations

from collections.abc import Iterator

from muster.check.advance import advances
from muster.check.case import Case
from muster.check.freezes import freeze_verdicts
from muster.check.standing import guardrail_verdicts, soak_verdicts
from muster.check.steps import STEP, order_verdicts, regrouping_verdicts, step_verdicts
from muster.check.verdict import Verdict
from muster.check.way_back import deployable_verdicts, rehearsal_verdicts, removal_verdicts
from muster.kinds.finding import Pointer


def transition_verdicts(case: Case) -> Iterator[Verdict]:
    """Every verdict of the section `transition`."""
    if case.change.is_rollback:
        yield from _skipped(case)
    for advance in advances(case):
        yield from step_verdicts(advance)
        yield from order_verdicts(case, advance)
        yield from soak_verdicts(case, advance)
        yield from guardrail_verdicts(case, advance)
        yield from deployable_verdicts(case, advance)
        yield from rehearsal_verdicts(case, advance)
    yield from regrouping_verdicts(case)
    yield from removal_verdicts(case)
    yield from freeze_verdicts(case)


def _skipped(case: Case) -> Iterator[Verdict]:
    for move in case.change.moves:
        yield Verdict(
            STEP,
            move.release.name,
            "pass",
            "steps and soak are skipped on purpose: this only takes devices back",
            tier=move.release.spec.tier,
            where=Pointer(move.release.path, ("spec", "rollout", "cohorts")),
        )

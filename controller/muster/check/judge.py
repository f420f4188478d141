"""Judging a case: every rule, in the order in which a person would ask.

Pure: the same case gives the same judgement. What a rule needs to know stands in the case; the rules that matter most
are those of the base.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from muster.check.approvals import approval_verdicts, needed_approvals, policy_approval
from muster.check.attributes import attribute_verdicts
from muster.check.case import Case
from muster.check.checklist import checklist_verdicts
from muster.check.effect import rows
from muster.check.gates.decide import gate_verdicts
from muster.check.impact import impact_verdicts
from muster.check.judgement import Judgement, NeededApproval
from muster.check.lost_evidence import lost_evidence_verdicts
from muster.check.pins import finding_verdicts, pin_verdicts
from muster.check.transitions import transition_verdicts
from muster.check.unseen import unseen_verdicts
from muster.check.verdict import Verdict
from muster.check.waivers import apply_waivers
from muster.check.weakening import lift_weakenings, weakenings
from muster.kinds.finding import Finding


def judge(
    case: Case, findings: tuple[Finding, ...] = (), notes: tuple[str, ...] = (), *, readable: bool = True
) -> Judgement:
    """What becomes of the case. `findings` are complaints about files of the merge result.

    Where no fleet came out of these (not `readable`), they are all that is said.
    """
    found = tuple(finding_verdicts(findings))
    if not readable:
        return Judgement(case.change, case.request, (), (*found, *unseen_verdicts(case)), (), notes)
    gates = apply_waivers(gate_verdicts(case), case)
    weakened = (
        *weakenings(case.change, case.request.author),
        *attribute_verdicts(case.change),
        *lost_evidence_verdicts(case),
    )
    needed = needed_approvals(case, weakened)
    verdicts = (
        *found,
        *pin_verdicts(case),
        *unseen_verdicts(case),
        *gates,
        *transition_verdicts(case),
        *_lifted(weakened, needed),
        *approval_verdicts(case, needed),
        *checklist_verdicts(case, gates),
        *impact_verdicts(case),
    )
    return Judgement(
        change=case.change,
        request=case.request,
        rows=rows(case.change, case.controller),
        verdicts=_in_order(verdicts),
        approvals=needed,
        notes=(*notes, *_notes(case)),
    )


def _lifted(weakened: Sequence[Verdict], needed: Sequence[NeededApproval]) -> tuple[Verdict, ...]:
    """The weakenings, passed where the policy owners of the base approved."""
    policy = policy_approval(needed)
    return lift_weakenings(weakened, policy.given, policy.count) if policy else tuple(weakened)


def _notes(case: Case) -> Iterator[str]:
    if case.change.is_rollback:
        yield "this only takes devices back: gates, steps, soak and freezes do not hold up a rollback, on purpose"
    if case.controller is None and case.change.moves:
        yield "no controller was asked (--fleet URL): devices are given in percent, and guardrails are not known"


def _in_order(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """What blocks first; otherwise as the rules were asked."""
    return tuple(sorted(verdicts, key=lambda verdict: (not verdict.blocks, not verdict.warns)))

"""Judging a case: every rule, in the order in which a person would ask.

Pure: the same case gives the same judgement. What a rule needs to know stands in the case; the rules that matter most
are those of the base.
"""

from __future__ import annotations

from collections.abc import Iterator

from muster.check.attributes import attribute_verdicts
from muster.check.case import Case
from muster.check.effect import rows
from muster.check.judgement import Judgement
from muster.check.pins import finding_verdicts, pin_verdicts
from muster.check.unseen import unseen_verdicts
from muster.check.verdict import Verdict
from muster.kinds.finding import Finding


def judge(case: Case, findings: tuple[Finding, ...] = (), notes: tuple[str, ...] = ()) -> Judgement:
    """What becomes of the case. With an error among `findings`, nothing else could be read, and nothing else is said."""
    found = tuple(finding_verdicts(findings))
    if any(finding.severity == "error" for finding in findings):
        return Judgement(case.change, case.request, (), (*found, *unseen_verdicts(case)), (), notes)
    verdicts = (*found, *pin_verdicts(case), *unseen_verdicts(case), *attribute_verdicts(case.change))
    return Judgement(
        change=case.change,
        request=case.request,
        rows=rows(case.change, case.controller),
        verdicts=_in_order(verdicts),
        approvals=(),
        notes=(*notes, *_notes(case)),
    )


def _notes(case: Case) -> Iterator[str]:
    if case.change.is_rollback:
        yield "this only takes devices back: gates, steps, soak and freezes do not hold up a rollback, on purpose"
    if case.controller is None and case.change.moves:
        yield "no controller was asked (--fleet URL): devices are given in percent, and guardrails are not known"


def _in_order(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """What blocks first; otherwise as the rules were asked."""
    return tuple(sorted(verdicts, key=lambda verdict: (not verdict.blocks, not verdict.warns)))

"""Reproducibility: who built the artifact again, and what came out.

Good rebuilds count while they are fresh and believed. A bad one by a trusted key counts for ever, also where this very
change removes or replaces its file. For level 3 nobody counts who also signed provenance of the artifact's build: who
built it and who built it again must be two. An emulated CPU is another one than the real ones, because other
instructions ran; two emulated ones are not, because one emulator computed for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from muster.check.gates.compare import compared
from muster.check.gates.measured import parsed
from muster.check.gates.question import Answer, Question, quoted
from muster.check.gates.reading import Reading
from muster.check.gates.statements import Unfit, statements, unanswered
from muster.kinds.evidence import PROVENANCE, REBUILD, Evidence, Rebuild


@dataclass(frozen=True)
class Rebuilt:
    """A rebuild, who signed it, and its file."""

    rebuild: Rebuild
    signer: str
    path: str


def reproducibility(question: Question) -> Answer:
    """The highest level that good rebuilds prove, unless one is bad."""
    if bad := next(_bad(question), None):
        reason = (
            f"{bad.path}: {quoted(bad.signer)} built it again on {quoted(bad.rebuild.cpu)}, and other bytes came out"
        )
        hint = "find the first stage that differs with: muster build --verify, and make a new version"
        return Answer("fail", reason, hint, measured="BAD", evidence=bad.path)
    found = statements(question, REBUILD)
    read = [(evidence, parsed(question, Rebuild, evidence)) for evidence in found.good]
    unfit = [*found.unfit, *(rebuild for _, rebuild in read if isinstance(rebuild, Unfit))]
    told = [
        Rebuilt(rebuild, evidence.signer or "", evidence.path)
        for evidence, rebuild in read
        if isinstance(rebuild, Rebuild)
    ]
    good = [one for one in told if one.rebuild.verdict == "GOOD"]
    if good:
        return _level(question, good)
    if told:
        return Answer("inconclusive", f"{told[0].path}: the rebuild could not tell", evidence=told[0].path)
    return unanswered(question, unfit, f"no evidence: nobody built {question.release.name} again")


def _bad(question: Question) -> Iterator[Rebuilt]:
    """Bad rebuilds of the artifact's digest, whatever release they name and however old they are."""
    for evidence in _believed(question, REBUILD):
        rebuild = parsed(question, Rebuild, evidence)
        if isinstance(rebuild, Rebuild) and rebuild.verdict == "BAD":
            yield Rebuilt(rebuild, evidence.signer or "", evidence.path)


def _believed(question: Question, predicate_type: str) -> Iterator[Evidence]:
    """What trusted keys ever said of the artifact, also in files that this change takes away."""
    ground = question.ground
    for evidence in (
        *ground.evidence.get(question.artifact, ()),
        *ground.former_evidence.get(question.artifact, ()),
    ):
        trusted = evidence.signer is not None and evidence.problem is None
        if trusted and evidence.predicate_type == predicate_type and question.artifact in evidence.subjects:
            yield evidence


def _level(question: Question, good: Sequence[Rebuilt]) -> Answer:
    builders = {evidence.signer for evidence in _believed(question, PROVENANCE) if not evidence.made_again}
    others = [one for one in good if one.signer not in builders]
    again = any(one.rebuild.level == "L2" for one in good)
    level = 3 if any(_apart(one, other) for one in others for other in others) else 2 if again else 1
    by = ", ".join(
        sorted({f"{one.rebuild.level} by {quoted(one.signer)} on {quoted(one.rebuild.cpu)}" for one in good})[:6]
    )
    answer = compared(question, Reading(Decimal(level), "number", good[0].path, about=f" ({by})"))
    if answer.outcome == "fail" and question.threshold.amount == 3:
        reason = "another signer on another kind of CPU has not rebuilt it yet"
        if builder := next((one.signer for one in good if one.signer in builders), None):
            reason += f", and {quoted(builder)} does not count, who built it"
        return Answer("inconclusive", f"{answer.message}; {reason}", measured=answer.measured, evidence=answer.evidence)
    return answer


def _apart(one: Rebuilt, other: Rebuilt) -> bool:
    """Two signers on one kind of CPU, or one signer on two, prove no more than one."""
    signers = one.signer != other.signer
    cpus = one.rebuild.cpu.casefold() != other.rebuild.cpu.casefold()
    return signers and cpus and not (one.rebuild.emulated_on and other.rebuild.emulated_on)

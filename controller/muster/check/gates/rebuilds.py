"""Reproducibility: who built the artifact again, and what came out.

Good rebuilds count while they are fresh and believed, and made with the release's own lock. A bad one by a trusted key
counts for ever, whatever the same key says later, and also where this very change removes or replaces its file.

Level 3 asks for N of M: so many signers as the gate's `agreeing`, of its `rebuilders`, on two families of CPUs. Nobody
counts who also signed the artifact's provenance: who built it and who built it again must be two; without provenance
nobody knows who that is. An emulated CPU is another one than the real ones, because other instructions ran; two
emulated ones are not, because one emulator computed for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from muster.check.gates.compare import compared, holds
from muster.check.gates.measured import parsed
from muster.check.gates.question import Answer, Question, quoted
from muster.check.gates.reading import Reading
from muster.check.gates.statements import Unfit, statements, unanswered
from muster.kinds.evidence import PROVENANCE, REBUILD, Evidence, Rebuild
from muster.kinds.policy import FEWEST_AGREEING

_FAMILIES: Final = 2


@dataclass(frozen=True)
class Rebuilt:
    """A rebuild, who signed it, and its file."""

    rebuild: Rebuild
    signer: str
    path: str

    @property
    def family(self) -> str:
        """Architecture, vendor and family of the CPU without its model; one family for all that was emulated."""
        cpu = self.rebuild.cpu.casefold()
        parts = cpu.split("/")
        if self.rebuild.emulated_on or "emulated" in parts[1:2]:
            return "emulated"
        return "/".join(parts[:3])


def reproducibility(question: Question) -> Answer:
    """The highest level that good rebuilds prove, unless one is bad."""
    if bad := next(_bad(question), None):
        where = quoted(str(bad.predicate.get("cpu", "a CPU that it does not name")))
        reason = f"{bad.path}: {quoted(bad.signer or '')} built it again on {where}, and other bytes came out"
        hint = "find the first stage that differs with: muster build --verify, and make a new version"
        return Answer("fail", reason, hint, measured="BAD", evidence=bad.path)
    found = statements(question, REBUILD)
    read = [(evidence, _counted(question, evidence)) for evidence in found.good]
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


def _counted(question: Question, evidence: Evidence) -> Rebuild | Unfit:
    rebuild, pinned = parsed(question, Rebuild, evidence), question.release.spec.builder.digest
    if isinstance(rebuild, Rebuild) and rebuild.lock not in (None, pinned):
        return Unfit("fail", f"was made with the lock {rebuild.lock}, the release pins {pinned}", evidence.path)
    if isinstance(rebuild, Rebuild) and rebuild.environment == "own":
        return Unfit("fail", "was not made in an environment of the lock, but in the rebuilder's own", evidence.path)
    return rebuild


def _bad(question: Question) -> Iterator[Evidence]:
    """Bad rebuilds of the artifact's digest, whatever release they name and however old they are."""
    return (evidence for evidence in _believed(question, REBUILD) if evidence.came_out_different)


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
    lacking = _lacking(question, good)
    again = any(one.rebuild.level == "L2" for one in good)
    level = 3 if lacking is None else 2 if again else 1
    by = ", ".join(
        sorted({f"{one.rebuild.level} by {quoted(one.signer)} on {quoted(one.rebuild.cpu)}" for one in good})[:6]
    )
    answer = compared(question, Reading(Decimal(level), "number", good[0].path, about=f" ({by})"))
    two, three = (holds(Decimal(number), question.gate.comparator, question.threshold.amount) for number in (2, 3))
    if lacking is None or two or not three:
        return answer
    # Nothing is bad: somebody else has not rebuilt it yet.
    message = f"{answer.message}; {lacking}"
    return Answer("inconclusive", message, measured=answer.measured, evidence=answer.evidence)


def _lacking(question: Question, good: Sequence[Rebuilt]) -> str | None:
    """What level 3 still waits for; None if it is reached."""
    gate = question.gate
    builders = {evidence.signer for evidence in _believed(question, PROVENANCE) if not evidence.made_again}
    if not builders:
        return "nobody signed its provenance, so that nobody knows whose rebuild does not count"
    named = [one for one in good if not gate.rebuilders or one.signer in gate.rebuilders]
    # Statements from before they named it prove the lower levels only.
    counting = [one for one in named if one.signer not in builders and one.rebuild.environment == "lock"]
    signers, families = sorted({one.signer for one in counting}), sorted({one.family for one in counting})
    needed = gate.agreeing or FEWEST_AGREEING
    if len(signers) >= needed and len(families) >= _FAMILIES:
        return None
    of = f" of {', '.join(gate.rebuilders)}" if gate.rebuilders else ""
    reason = f"{needed}{of} must agree, in environments of the lock and on {_FAMILIES} families of CPUs"
    reason += f": so far {', '.join(map(quoted, signers[:6])) or 'nobody'}"
    reason += f", on {', '.join(map(quoted, families[:6]))}" if families else ""
    if builder := next((one.signer for one in good if one.signer in builders), None):
        reason += f"; {quoted(builder)} does not count, who built it"
    return reason

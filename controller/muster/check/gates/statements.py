"""Which statements about a release's artifact are believed for a gate, and why the others are not.

Believed is what a key of the base signed, about this artifact, for this release, of the kind that the gate reads, and
not too long ago. What is not believed answers nothing; it only explains why nothing answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from muster.check.gates.question import Answer, Question, quoted
from muster.check.verdict import Outcome
from muster.kinds.evidence import Evidence
from muster.kinds.quantity import format_duration


@dataclass(frozen=True)
class Unfit:
    """A file that does not count: the outcome that it leads to where nothing else answers."""

    outcome: Outcome
    reason: str
    path: str


@dataclass(frozen=True)
class Found:
    """`good` from the newest to the oldest."""

    good: tuple[Evidence, ...]
    unfit: tuple[Unfit, ...]


def statements(question: Question, predicate_type: str | None) -> Found:
    """Statements of that type (of any, if None) about the release's artifact."""
    good, unfit = [], []
    for evidence in question.ground.evidence.get(question.artifact, ()):
        if predicate_type is not None and evidence.predicate_type not in (predicate_type, ""):
            continue
        problem = _trust(evidence, question) or _content(evidence, question) or _age(evidence, question)
        if problem is None:
            good.append(evidence)
        else:
            unfit.append(Unfit(*problem, evidence.path))
    good.sort(key=lambda evidence: (evidence.made_at is not None, evidence.made_at, evidence.path), reverse=True)
    return Found(tuple(good), tuple(unfit))


def unanswered(question: Question, unfit: Iterable[Unfit], missing: str) -> Answer:
    """The answer where no statement holds one: `missing` if nothing is there at all.

    What could not be read or told comes before what is bad: the reader must know that nobody could tell.
    """
    order: tuple[Outcome, ...] = ("error", "inconclusive", "fail")
    first = min(unfit, key=lambda found: (order.index(found.outcome), found.path), default=None)
    if first is None:
        return Answer("fail", missing, question.command)
    return Answer(first.outcome, f"{first.path}: {first.reason}", question.command, evidence=first.path)


def _trust(evidence: Evidence, question: Question) -> tuple[Outcome, str] | None:
    if evidence.problem_kind == "foreign":
        return "fail", f"not signed by a key that the base trusts for evidence ({quoted(evidence.problem or '')})"
    if evidence.problem_kind == "other-artifact" or (evidence.signer and question.artifact not in evidence.subjects):
        return "fail", f"about another artifact than {question.artifact}"
    if evidence.problem is not None or evidence.problem_kind == "broken":
        return "error", f"cannot be read ({quoted(evidence.problem or 'broken')})"
    if evidence.signer is None:
        return "fail", "not signed by a key that the base trusts for evidence"
    return None


def _content(evidence: Evidence, question: Question) -> tuple[Outcome, str] | None:
    if not isinstance(evidence.predicate, dict):
        return "error", "its predicate is no object"
    release = evidence.predicate.get("release", question.release.name)
    if not isinstance(release, str):
        return "error", "its predicate does not name a release"
    if release != question.release.name:
        return "fail", f"speaks of {quoted(release)}, not of {question.release.name}"
    return None


def _age(evidence: Evidence, question: Question) -> tuple[Outcome, str] | None:
    limit, now = question.max_age, question.case.now
    if evidence.made_at is None:
        return ("inconclusive", "does not say when it was made, in UTC") if limit is not None else None
    if evidence.made_at > now:
        return "fail", f"made in the future, at {evidence.made_at.isoformat()}"
    # Whole numbers: a limit may be longer than a timedelta can hold.
    if limit is not None and (now - evidence.made_at) // timedelta(microseconds=1) > limit:
        return "fail", f"stale: made {evidence.made_at.isoformat()}, and at most {format_duration(limit)} may pass"
    return None

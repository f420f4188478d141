"""Evidence that a change takes away, and that speaks against a release: it must not get lost on the way to a gate.

A gate asks only about what a change brings forward. Without this rule, one change could remove what speaks against a
release, and the next one bring it forward. What speaks for a release may go: its gate then finds nothing, and fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from muster.check.case import Case
from muster.check.verdict import Verdict
from muster.kinds.evidence import MEASUREMENT, REBUILD, REHEARSAL, Evidence, Measurement, Rehearsal
from muster.kinds.finding import Pointer

_Predicate = TypeVar("_Predicate", bound=BaseModel)
_Key = tuple[str, str | None, str | None]


def lost_evidence_verdicts(case: Case) -> Iterator[Verdict]:
    """A weakening for every believed statement that the change takes away, unless nothing gets better by that.

    Bad rebuilds and rehearsals stay for ever. The newest measurement answers a gate: it may go only where one that is
    as new measures the same things.
    """
    for lost in case.former_evidence:
        said = _speaks_against(lost, case.evidence) if _is_believed(lost) and not _moved(lost, case.evidence) else None
        if said is not None:
            yield Verdict(
                rule="weakening/evidence",
                subject=lost.path,
                outcome="fail",
                message=f"{said}, and the change takes it away",
                hint="bring the file back; write newer evidence beside it",
                evidence=lost.path,
                where=Pointer(lost.path),
            )


def _is_believed(evidence: Evidence) -> bool:
    return evidence.signer is not None and evidence.problem is None


def _moved(lost: Evidence, kept: tuple[Evidence, ...]) -> bool:
    """True if the same statement stands elsewhere, and counts there."""
    return any(replace(found, path=lost.path) == lost for found in kept)


def _speaks_against(lost: Evidence, kept: tuple[Evidence, ...]) -> str | None:
    if lost.predicate_type == REBUILD:
        return "a rebuild came out different" if lost.came_out_different else None
    if lost.predicate_type == REHEARSAL:
        rehearsal = _read(Rehearsal, lost)
        return "devices did not come back in a rehearsal" if rehearsal and not rehearsal.returned else None
    measured = _measured(lost)
    as_new = [found for found in kept if _is_believed(found) and _is_as_new(found, lost)]
    unmatched = measured.difference(*(_measured(found) for found in as_new))
    if not unmatched:
        return None
    metric = min(key[0] for key in unmatched)
    return f"nothing as new measures {metric} of this artifact"


def _is_as_new(found: Evidence, lost: Evidence) -> bool:
    same = bool(set(found.subjects) & set(lost.subjects))
    return same and found.made_at is not None and (lost.made_at is None or found.made_at >= lost.made_at)


def _measured(evidence: Evidence) -> frozenset[_Key]:
    """What a measurement is about: (metric, device class, slice)."""
    measurement = _read(Measurement, evidence) if evidence.predicate_type == MEASUREMENT else None
    results = measurement.results if measurement else ()
    return frozenset((result.metric, result.device_class, result.slice) for result in results)


def _read(kind: type[_Predicate], evidence: Evidence) -> _Predicate | None:
    try:
        return kind.model_validate(evidence.predicate)
    except ValidationError:
        return None

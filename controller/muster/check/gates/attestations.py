"""Signature and provenance: does anybody whom the base trusts stand for the artifact, and for where it came from?"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from muster.check.gates.compare import compared
from muster.check.gates.measured import parsed
from muster.check.gates.question import Answer, Question, quoted
from muster.check.gates.reading import Reading
from muster.check.gates.statements import Unfit, statements, unanswered
from muster.kinds.digest import hex_of
from muster.kinds.evidence import PROVENANCE, Evidence


class _Part(BaseModel):
    """A part of SLSA Provenance v1; what is not needed may be anything."""

    model_config = ConfigDict(frozen=True, strict=True)


class _Dependency(_Part):
    digest: Annotated[dict[str, str], Field(max_length=16)] = {}


class _Definition(_Part):
    buildType: Annotated[str, Field(min_length=1)]  # noqa: N815 - as SLSA spells it
    externalParameters: dict[str, object]  # noqa: N815 - as SLSA spells it
    resolvedDependencies: Annotated[list[_Dependency], Field(max_length=10_000)] = []  # noqa: N815


class _Builder(_Part):
    id: Annotated[str, Field(min_length=1)]


class _Run(_Part):
    builder: _Builder


class Provenance(_Part):
    """What a gate reads of SLSA Provenance v1."""

    buildDefinition: _Definition  # noqa: N815 - as SLSA spells it
    runDetails: _Run  # noqa: N815 - as SLSA spells it


def signature(question: Question) -> Answer:
    """How many trusted keys signed something about the artifact."""
    base = question.case.change.base
    if not base.keys_for("evidence") and not base.identities_for("evidence"):
        return Answer(
            "inconclusive",
            "the base trusts no key for evidence, so that nobody can sign",
            "declare a key with uses: [evidence] in policies/keys/, and merge that first",
        )
    found = statements(question, None)
    if not found.good:
        return unanswered(question, found.unfit, f"no evidence: nobody signed for {question.release.name}")
    return compared(question, _signers(found.good))


def provenance(question: Question) -> Answer:
    """How many trusted keys signed provenance that names the release's source.

    A rebuilder's does not count here: it made nothing, and the gate on reproducibility counts it.
    """
    found = statements(question, PROVENANCE)
    good, unfit = [], list(found.unfit)
    for evidence in found.good:
        if evidence.made_again:
            continue
        read = parsed(question, Provenance, evidence)
        problem = read if isinstance(read, Unfit) else _problem(question, read, evidence.path)
        if problem is None:
            good.append(evidence)
        else:
            unfit.append(problem)
    if not good:
        return unanswered(
            question, unfit, f"no evidence: nobody says how the artifact of {question.release.name} was built"
        )
    return compared(question, _signers(good))


def _problem(question: Question, read: Provenance, path: str) -> Unfit | None:
    release, parameters = question.release, read.buildDefinition.externalParameters
    for name, right in (("release", release.name), ("pins", release.pins)):
        if parameters.get(name, right) != right:
            return Unfit("fail", f"built with other {name}: {quoted(str(parameters[name]))}, not {right}", path)
    if not read.buildDefinition.resolvedDependencies:
        return Unfit("inconclusive", "names nothing that the artifact was built from", path)
    digests = {dependency.digest.get("sha256") for dependency in read.buildDefinition.resolvedDependencies}
    if hex_of(release.spec.source.digest) not in digests:
        return Unfit("fail", f"built from something else than the source {release.spec.source.digest}", path)
    return None


def _signers(evidence: Iterable[Evidence]) -> Reading:
    found = list(evidence)
    names = sorted({one.signer for one in found if one.signer is not None})
    return Reading(Decimal(len(names)), "number", found[0].path, about=f" ({', '.join(names[:8])})")

"""Guardrails: is a release doing harm, per stratum, among the devices that tried it?

Verdicts: *harm* (halt), *no-worse* (advance), *undecided* (hold, until the declared longest wait), *cannot-tell* (hold,
and say whose telemetry is missing). What they rest on is in `plan.statistics`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from muster.kinds.guardrails import Guardrail, GuardrailSeverity, NumericKey
from muster.plan.evidence import counts_for, questions
from muster.plan.metric_source import CannotTell, CountsSource
from muster.plan.metric_source import Question as Reading
from muster.plan.statistics import questions as asked_of
from muster.plan.statistics import verdict as statistics
from muster.plan.statistics.decide import decide
from muster.plan.statistics.explain import explain
from muster.plan.statistics.family import Terms
from muster.plan.statistics.sample_ratio import Parts

Outcome = statistics.Outcome
UNHEARD = "reports of the fleet's devices"
NO_STRATUM = ""
"""Of a release that no device of the class spoke of yet."""


@dataclass(frozen=True)
class Verdict:
    """One guardrail on one release in one stratum: the sentence, and the record that it was decided on.

    `against` is "limit" or "margin". `record` has whole numbers and text only: numbers, bounds, sample, exposure.
    """

    release: str
    device_class: str
    stratum: str
    guardrail: str
    against: str
    outcome: Outcome
    reason: str
    lifted_by: str
    severity: GuardrailSeverity = "halt"
    record: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def halts(self) -> bool:
        """True if the release must be stopped for it."""
        return self.outcome == "harm" and self.severity == "halt"


@dataclass(frozen=True)
class Place:
    """Where a release is judged: its class, what it supersedes there, and since which generation it is on offer.

    `error_codes` are those that devices of the class failed with, for the sentence. `samples`: who was drawn for it, by
    stratum (`plan.draws`); a stratum that is not named was drawn for nothing.
    """

    release: str
    device_class: str
    control: tuple[str, ...]
    since: int
    error_codes: Mapping[str, int] = field(default_factory=dict, hash=False)
    samples: Mapping[str, tuple[Parts, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Asked:
    """One question that was decided, with what it needs to be explained."""

    place: Place
    stratum: str
    guardrail: Guardrail
    against: str
    terms: Terms
    decided: statistics.Verdict
    question: asked_of.Question | None = None
    counts: asked_of.Counts | None = None

    def explained(self) -> Asked:
        """With bounds, and what exactly would change it: costs ten to a hundred times as much as deciding."""
        if self.question is None or self.counts is None:
            return self
        found = explain(self.question, self.counts, self.terms, self.place.samples.get(self.stratum, ()))
        # What all questions together decided is not one question's to explain.
        kept = self.decided if self.decided.outcome != found.outcome else found
        record = replace(kept, lower=found.lower, upper=found.upper)
        return replace(self, decided=record)

    def unheard(self) -> Asked:
        """While no report comes in: harm that was shown stays harm, and nothing speaks for the release."""
        if self.decided.outcome == "harm":
            return self
        reason = f"no report of any device comes in; before that, {self.decided.reason}"
        return replace(self, decided=replace(self.decided, outcome="cannot-tell", reason=reason, lifted_by=UNHEARD))

    def told(self) -> Verdict:
        """As it is shown and stored."""
        place = self.place
        return Verdict(
            release=place.release,
            device_class=place.device_class,
            stratum=self.stratum,
            guardrail=self.guardrail.name,
            against=self.against,
            outcome=self.decided.outcome,
            reason=self._sentence()[:1_500],
            lifted_by=self.decided.lifted_by,
            severity=self.guardrail.severity,
            record=self.decided.record(),
        )

    def _sentence(self) -> str:
        where = f"in {self.place.device_class}" + (f" ({self.stratum})" if self.stratum else "")
        if not isinstance(self.counts, asked_of.Shares):
            return f"{self.guardrail.name} {where}: {self.decided.reason}"
        whole = self.counts.candidate
        showed = "failed" if self.guardrail.metric == "failure-share" else f"showed {self.guardrail.reading}"
        said = f"{whole.failed} of {whole.tried} devices that tried it {showed} {where}"
        known = self.place.error_codes if self.guardrail.metric == "failure-share" and whole.failed else {}
        codes = ", ".join(f"{code} ×{count}" for code, count in sorted(known.items()))
        return f"{said}{f' ({codes})' if codes else ''}; {self.guardrail.name}: {self.decided.reason}"


def ask(
    guardrail: Guardrail, place: Place, source: CountsSource, keys: Collection[NumericKey], terms: Terms
) -> Iterator[Asked]:
    """Decide every question of a guardrail in every stratum in which some device spoke of the release."""
    strata = source.strata(place.release, place.device_class)
    if isinstance(strata, CannotTell):
        yield _cannot_tell(guardrail, place, NO_STRATUM, strata, terms)
        return
    terms = replace(terms, min_devices=guardrail.min_devices)
    for stratum in strata or (NO_STRATUM,):
        counts = source.counts(reading(guardrail, place, stratum))
        if isinstance(counts, CannotTell):
            yield _cannot_tell(guardrail, place, stratum, counts, terms)
            continue
        for against, question in questions(guardrail, keys).items():
            shaped = counts_for(question, guardrail, keys, counts)
            decided = decide(question, shaped, terms, place.samples.get(stratum, ()))
            yield Asked(place, stratum, guardrail, against, terms, decided, question, shaped)


def reading(guardrail: Guardrail, place: Place, stratum: str) -> Reading:
    """What a metric source is asked."""
    return Reading(
        place.release,
        place.control,
        place.device_class,
        stratum,
        guardrail.reading,
        place.since,
        guardrail.error_code,
    )


def _cannot_tell(guardrail: Guardrail, place: Place, stratum: str, said: CannotTell, terms: Terms) -> Asked:
    against = "limit" if guardrail.limit is not None else "margin"
    decided = statistics.Verdict("cannot-tell", f"{said.source}: {said.reason}", said.hint, 0.0)
    return Asked(place, stratum, guardrail, against, terms, decided)

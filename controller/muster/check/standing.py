"""How a release does where it is: its steps have soaked, its guardrails hold, and no suspension lies on it.

- Soak: before a cohort gets more, it and every earlier cohort must have had what they have for the tier's soak. Since
  when is what the controller published; where none was asked, when git declared it. Nothing has to soak before the
  first step of the first cohort.
- Guardrails: every one of the tier, in every device class that has devices with the release, by the controller's own
  verdict. Where no controller was asked nobody can tell: inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from muster.check.advance import Advance
from muster.check.case import Case
from muster.check.verdict import Outcome, Verdict
from muster.kinds.field_state import FieldState, GuardrailFact
from muster.kinds.quantity import format_duration, format_percent

SOAK = "transition/soak"
GUARDRAILS = "transition/guardrails"
ASK = "ask the controller: muster check --fleet URL"


@dataclass(frozen=True)
class _Since:
    """Since when a percentage stands, and who says so; without `at`, `source` says why that is not known."""

    at: datetime | None
    source: str


def soak_verdicts(case: Case, advance: Advance) -> Iterator[Verdict]:
    """One for each cohort of the base whose step comes before those of this change."""
    order = [cohort.metadata.name for cohort in case.change.base.cohorts]
    waited_for: set[str] = set()
    for raised in advance.raised:
        # What is drawn anew, or added, stands in the order where its devices come from.
        earlier = order[: order.index(raised.of)] if raised.of in order else []
        waited_for.update((*earlier, raised.of))
    for cohort in order:
        share = advance.move.before.get(cohort, 0)
        if share and cohort in waited_for:
            yield _soak(case, advance, cohort, share)


def _soak(case: Case, advance: Advance, cohort: str, share: int) -> Verdict:
    since = _since(case, advance.release.name, cohort, share)
    soak = advance.tier.soak
    step = f"{cohort} at {format_percent(share)}"
    outcome: Outcome = "inconclusive"
    measured, lifts_at, hint = None, None, ASK if case.controller is None else ""
    if since.at is None:
        message = f"{step}: {since.source}"
    elif since.at > case.now:
        message = f"{step}: {since.source} {_shown(since.at)}, which is still to come"
    else:
        passed = (case.now - since.at) // timedelta(microseconds=1)
        measured = _rounded(passed)
        outcome = "pass" if passed >= soak else "fail"
        message = f"{step}: {since.source} {_shown(since.at)}, and soaks for {format_duration(soak)}"
        if outcome == "fail":
            end = _end(since.at, soak)
            lifts_at = end.isoformat() if end else None
            hint = f"merge it after {_shown(end)}" if end else "the soak of the tier ends in no time that has a date"
        else:
            hint = ""
    return Verdict(
        rule=SOAK,
        subject=advance.release.name,
        outcome=outcome,
        message=message,
        hint=hint,
        tier=advance.tier_name,
        measured=measured,
        threshold=format_duration(soak),
        lifts_at=lifts_at,
        where=advance.where(cohort if cohort in advance.move.after else None),
    )


def _since(case: Case, release: str, cohort: str, share: int) -> _Since:
    if case.controller is None:
        declared = case.declared.get((release, cohort))
        if declared is None or declared.ppm != share:
            return _Since(None, "the history of the base does not say since when")
        return _Since(declared.since, "declared in git since")
    step = case.controller.steps.get((release, cohort))
    if step is None or step.ppm != share:
        published = format_percent(step.ppm) if step else "nothing"
        return _Since(None, f"the controller publishes {published} there, so that the step has not begun")
    return _Since(step.since, "published since")


def _end(since: datetime, soak: int) -> datetime | None:
    try:
        return since + timedelta(microseconds=soak)
    except OverflowError:
        return None


def _rounded(microseconds: int) -> str:
    """Whole minutes, so that a person can read them; below one, whole seconds."""
    unit = 60_000_000 if microseconds >= 60_000_000 else 1_000_000
    return format_duration(microseconds // unit * unit)


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def guardrail_verdicts(case: Case, advance: Advance) -> Iterator[Verdict]:
    """One for a suspension; one for each guardrail and device class that has the release, or was harmed by it."""
    controller, name = case.controller, advance.release.name
    has_some = any(advance.move.before.values())
    if controller is None:
        if has_some and advance.tier.guardrails:
            said = "whether its guardrails hold is not known: no controller was asked"
            yield _guardrail(advance, "inconclusive", said, ASK)
        return
    if name in controller.suspended:
        said = "it is suspended: what the controller stopped may not be widened"
        yield _guardrail(advance, "fail", said, f"see why: muster describe release {name}")
    facts = controller.guardrails.get(name, ())
    known = {(fact.device_class, fact.guardrail): fact for fact in facts}
    tried = _classes(case, advance, controller, advance.move.before) if has_some else []
    if has_some and advance.tier.guardrails and not tried and _classes(case, advance, controller, advance.move.after):
        said = "no device of the cohorts that have it runs its classes, so that nobody tried it"
        yield _guardrail(advance, "inconclusive", said, "let the first cohort select devices")
    for device_class in tried:
        for guardrail in advance.tier.guardrails:
            fact = known.pop((device_class, guardrail.name), None)
            yield _of_fact(advance, device_class, guardrail.name, fact)
    for fact in known.values():
        if fact.outcome == "harm":
            yield _of_fact(advance, fact.device_class, fact.guardrail, fact)


def _classes(case: Case, advance: Advance, controller: FieldState, shares: Mapping[str, int]) -> list[str]:
    """Classes of the base that the release goes to, and that have devices in a cohort with a share of it."""
    cohorts = [cohort for cohort, ppm in shares.items() if ppm]
    return [
        found.metadata.name
        for found in case.change.base.device_classes
        if advance.release.runtime_for(found.metadata.name)
        and advance.release.model in found.spec.models
        and any(controller.devices.get((found.metadata.name, cohort), 0) for cohort in cohorts)
    ]


def _of_fact(advance: Advance, device_class: str, guardrail: str, fact: GuardrailFact | None) -> Verdict:
    if fact is None:
        said = f"the controller has no verdict of {guardrail} in {device_class}"
        return _guardrail(advance, "inconclusive", said, "wait until it publishes what the base declares", device_class)
    outcomes: dict[str, Outcome] = {"harm": "fail", "no-worse": "pass"}
    hints = {
        "harm": f"take it back: muster rollback {advance.release.model}",
        "undecided": "wait for more reports",
        "cannot-tell": "find out why these devices do not report it",
    }
    outcome = outcomes.get(fact.outcome, "inconclusive")
    return _guardrail(advance, outcome, f"{guardrail}: {fact.reason}", hints.get(fact.outcome, ""), device_class)


def _guardrail(advance: Advance, outcome: Outcome, message: str, hint: str, device_class: str | None = None) -> Verdict:
    return Verdict(
        GUARDRAILS,
        advance.release.name,
        outcome,
        message,
        hint,
        tier=advance.tier_name,
        device_class=device_class,
        where=advance.where(),
    )

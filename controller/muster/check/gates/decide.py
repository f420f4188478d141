"""Asks every gate of its tier about every release that a change brings forward, and tells what came of it.

Rules: tier, gates, budgets of known classes and trusted keys are the base's; one verdict per gate, release, device
class and slice; a gate that means nothing is an error and never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from muster.check.case import Case
from muster.check.gates.attestations import provenance, signature
from muster.check.gates.baselines import superseded_release
from muster.check.gates.compare import asked
from muster.check.gates.declarations import artifact_size, compatibility
from muster.check.gates.declared import gate_problems
from muster.check.gates.gate_kind import Reads
from muster.check.gates.ground import Ground
from muster.check.gates.measured import measured
from muster.check.gates.places import declared_cpus
from muster.check.gates.question import Answer, Question, visible
from muster.check.gates.rebuilds import reproducibility
from muster.check.gates.slices import fairness_gap
from muster.check.gates.table import GATE_KINDS
from muster.check.stakes import declared_tier, tier_held_to
from muster.check.verdict import Verdict
from muster.kinds.finding import Pointer
from muster.kinds.policy import Gate, TierName
from muster.kinds.release import Release

ANSWERS: Final[Mapping[Reads, Callable[[Question], Answer]]] = {
    "measurement": measured,
    "slices": fairness_gap,
    "rebuild": reproducibility,
    "signature": signature,
    "provenance": provenance,
    "size": artifact_size,
    "compatibility": compatibility,
}


def gate_verdicts(case: Case) -> Iterator[Verdict]:
    """The verdicts of all gates, by release, in the order in which the policy declares them."""
    ground = Ground(case)
    for release in case.change.judged:
        held_to = tier_held_to(case, release)
        tier = declared_tier(case.change.base, held_to)
        if tier is None:
            yield _no_tier(release, held_to)
            continue
        for gate in tier.gates:
            if gate.model in (None, release.model):
                for device_class in _classes(ground, gate, release):
                    yield _verdict(Question(ground, release, tier, gate, device_class))


def _classes(ground: Ground, gate: Gate, release: Release) -> tuple[str | None, ...]:
    """The device classes to ask about, or None for the release as a whole."""
    classes = tuple(
        runtime.device_class for runtime in release.spec.runtimes if gate.device_class in (None, runtime.device_class)
    )
    scope = GATE_KINDS[gate.metric].scope
    if scope == "asked" and gate.device_class is None:
        # Its answers are not everybody's.
        return (None, *(name for name in classes if GATE_KINDS[gate.metric].answers and declared_cpus(ground, name)))
    by_class = scope == "class" or (scope == "budget" and gate.relative_to == "budget")
    return classes if by_class or gate.device_class is not None else (None,)


def _verdict(question: Question) -> Verdict:
    answer = _answer(question).hinting(question.command)
    gate, tier, release = question.gate, question.tier, question.release
    return Verdict(
        rule=f"gate/{gate.metric}",
        subject=release.name,
        outcome=answer.outcome,
        message=visible(answer.message),
        hint=answer.hint,
        severity=gate.severity,
        tier=tier.name,
        gate=gate.name,
        device_class=question.device_class,
        slice=gate.slice,
        measured=answer.measured,
        threshold=asked(gate),
        evidence=answer.evidence,
        where=_where(question),
    )


def _answer(question: Question) -> Answer:
    if problem := next(gate_problems(question.gate), None):
        _, message, hint = problem
        return Answer("error", f"the gate means nothing: {message}", f"correct the policy: {hint}")
    # Before any evidence is looked for: the first release of a model could not have any.
    if question.gate.relative_to == "superseded" and isinstance(found := superseded_release(question), Answer):
        return found
    return ANSWERS[question.kind.reads](question)


def _where(question: Question) -> Pointer:
    """What a person would edit: the pin that the metric is about."""
    spec = question.release.spec
    if question.device_class is not None:
        index = next((i for i, runtime in enumerate(spec.runtimes) if runtime.device_class == question.device_class), 0)
        return Pointer(question.release.path, ("spec", "runtimes", index, "deviceClass"))
    return Pointer(question.release.path, ("spec", "artifact", "digest"))


def _no_tier(release: Release, name: TierName) -> Verdict:
    return Verdict(
        rule="gate/tier",
        subject=release.name,
        outcome="error",
        message=f"the base's policy declares no tier {name}, so that no gate can be asked",
        hint=f"declare the tier {name} in policies/default.yaml, and merge that first",
        tier=name,
        where=Pointer(release.path, ("spec", "tier")),
    )

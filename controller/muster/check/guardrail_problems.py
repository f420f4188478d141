"""Does a declared guardrail mean anything? One that nothing can break, or nobody can tell, is refused when read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from muster.kinds.finding import Complaint, Pointer
from muster.kinds.guardrails import Guardrail, GuardrailKind
from muster.kinds.policy import Policy
from muster.kinds.ppm import PPM
from muster.kinds.quantity import measure_of

Problem = tuple[str, str, str]
"""The field, what is wrong with it, and what would be right."""

_EXAMPLES: Final = {"number": '"5%"', "time": '"40ms"', "size": '"64MiB"'}


def guardrail_complaints(path: str, policy: Policy) -> Iterator[Complaint]:
    """Complaints about the guardrails of all tiers of the policy at `path`, and about what they read."""
    yield from _twice(path, "numericKeys", [key.name for key in policy.spec.numeric_keys])
    yield from _twice(path, "metricSources", [source.name for source in policy.spec.metric_sources])
    for index, tier in enumerate(policy.spec.tiers):
        for number, guardrail in enumerate(tier.guardrails):
            here = ("spec", "tiers", index, "guardrails", number)
            for field, message, hint in guardrail_problems(guardrail, policy):
                yield Complaint(Pointer(path, (*here, field)), "guardrail", message, hint)


def guardrail_problems(guardrail: Guardrail, policy: Policy) -> Iterator[Problem]:
    """Everything about the guardrail that its metric does not know, or that this policy does not declare."""
    if guardrail.limit is None and guardrail.margin is None:
        yield "name", f"{guardrail.name} stops nothing", "write a limit, or a margin against the concurrent control"
    yield from _limit(guardrail)
    if guardrail.margin == 0:
        yield "margin", "no number of devices shows that nothing at all is worse", "write a margin above 0%"
    if guardrail.floor is not None and (guardrail.margin is None or guardrail.kind.shape != "share"):
        yield "floor", "a floor belongs to the margin of a share of devices", "leave floor out"
    yield from _quantile(guardrail)
    if guardrail.error_code is not None and guardrail.metric != "error-share":
        yield "errorCode", f"{guardrail.metric} is about no error code", "leave errorCode out"
    yield from _key(guardrail, policy)
    sources = [source.name for source in policy.spec.metric_sources]
    if guardrail.source is not None and guardrail.source not in sources:
        declared = ", ".join(sources) or "none"
        yield "source", f"{guardrail.source} is no metric source of this policy", f"declared are: {declared}"


def _limit(guardrail: Guardrail) -> Iterator[Problem]:
    if guardrail.limit is None:
        return
    kind, measure = guardrail.kind, measure_of(guardrail.limit)
    if measure.dimension != kind.dimension:
        of = "share or number" if kind.dimension == "number" else kind.dimension
        yield "limit", f"{guardrail.metric} is a {of}, {guardrail.limit} is not", f"write {_EXAMPLES[kind.dimension]}"
    elif measure.amount < 0:
        yield "limit", f"{guardrail.metric} is never below 0", f"write {_EXAMPLES[kind.dimension]}"
    elif kind.shape != "quantile" and not _can_be_broken(kind, guardrail.limit):
        yield "limit", f"no device can be worse than {guardrail.limit}", "write a limit that can be broken"


def _can_be_broken(kind: GuardrailKind, limit: str) -> bool:
    amount = measure_of(limit).amount
    return amount < 1 if kind.worse == "more" else 0 < amount <= 1


def _quantile(guardrail: Guardrail) -> Iterator[Problem]:
    if guardrail.quantile is None:
        return
    if guardrail.kind.shape == "share":
        yield "quantile", f"{guardrail.metric} is the same yes or no for each device", "leave quantile out"
    elif not 0 < guardrail.quantile < PPM:
        yield "quantile", "a quantile lies between 0% and 100%", 'write "50%" for the median'


def _key(guardrail: Guardrail, policy: Policy) -> Iterator[Problem]:
    if guardrail.metric != "value":
        if guardrail.key is not None:
            yield "key", f"{guardrail.metric} has no key", "leave key out, or write metric: value"
        return
    keys = [key.name for key in policy.spec.numeric_keys]
    if guardrail.key is None:
        yield "metric", "value does not say which", "write the key too"
    elif guardrail.key not in keys:
        declared = ", ".join(keys) or "none"
        yield "key", f"{guardrail.key} is no numeric key of this policy", f"declared are: {declared}"


def _twice(path: str, field: str, names: list[str]) -> Iterator[Complaint]:
    for number, name in enumerate(names):
        if name in names[:number]:
            pointer = Pointer(path, ("spec", field, number, "name"))
            yield Complaint(pointer, "guardrail", f"{name} stands here again", "give each a name of its own")

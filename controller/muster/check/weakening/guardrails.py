"""Guardrails, and what they read: whether a rollout is stopped as early as before.

What a guardrail is about, and where its counts come from, cannot be compared; a change of either counts as looser.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from muster.check.weakening.gates import INCOMPARABLE
from muster.check.weakening.looser import GONE, Looser
from muster.kinds.guardrails import GUARDRAIL_KINDS, Guardrail, MetricSource, NumericKey
from muster.kinds.policy import Tier
from muster.kinds.quantity import format_percent, measure_of

_Reading = TypeVar("_Reading", NumericKey, MetricSource)
BUILT_IN = "the controller's own counts"


def looser_guardrail(old: Guardrail, new: Guardrail) -> tuple[Looser, ...]:
    """Every respect in which `new` stops a rollout later than `old`."""
    return (*_about(old, new), *_bounds(old, new), *_sampling(old, new))


def guardrail_text(guardrail: Guardrail) -> str:
    """What it holds, in a few words."""
    bounds = [f"up to {guardrail.limit}"] if guardrail.limit is not None else []
    if guardrail.kind.worse == "less":
        bounds = [bound.replace("up to", "from") for bound in bounds]
    if guardrail.margin is not None:
        bounds.append(f"within {format_percent(guardrail.margin)} of the control")
    return f"{guardrail.reading} {' and '.join(bounds)}".strip()


def looser_statistics(old: Tier, new: Tier) -> Iterator[Looser]:
    """Less error allowed for means that harm is seen later; more of it, that "no worse" is said sooner. A label by
    which devices are not told apart any more may hide those that are harmed.
    """
    if new.false_halts != old.false_halts:
        why = "harm is seen later" if new.false_halts < old.false_halts else '"no worse" is said sooner'
        before, after = format_percent(old.false_halts), format_percent(new.false_halts)
        yield Looser("false-halts", "falseHalts", before, after, why)
    if lost := [label for label in old.strata if label not in new.strata]:
        yield Looser("strata", "strata", ", ".join(lost), GONE, "devices are not told apart by it any more")


def changed_readings(old: Sequence[_Reading], new: Sequence[_Reading]) -> Iterator[tuple[int, str, str]]:
    """(index in `new`, before, after) of every key or source that means something else under its old name.

    One that is gone is no weakening by itself: the guardrails that read it had to go first.
    """
    before: dict[str, _Reading] = {item.name: item for item in old}
    for index, item in enumerate(new):
        was = before.get(item.name)
        if was is not None and was != item:
            yield index, _shown(was), _shown(item)


def _shown(item: NumericKey | MetricSource) -> str:
    fields = item.model_dump(mode="json", by_alias=True, exclude={"name"}, exclude_none=True)
    return ", ".join(f"{name}: {value}" for name, value in fields.items())


def _about(old: Guardrail, new: Guardrail) -> Iterator[Looser]:
    if new.metric != old.metric:
        yield Looser("guardrail", "metric", old.metric, new.metric, INCOMPARABLE)
    if new.key != old.key:
        yield Looser("guardrail", "key", old.key or GONE, new.key or GONE, INCOMPARABLE)
    if new.error_code not in (None, old.error_code):
        yield Looser("guardrail", "errorCode", old.error_code or "any", str(new.error_code))
    if new.source != old.source:
        yield Looser("guardrail", "source", old.source or BUILT_IN, new.source or BUILT_IN, INCOMPARABLE)


def _bounds(old: Guardrail, new: Guardrail) -> Iterator[Looser]:
    if old.limit is not None and (new.limit is None or _looser_limit(old, old.limit, new.limit)):
        yield Looser("guardrail", "limit", _shown_limit(old), _shown_limit(new))
    if old.margin is not None and (new.margin is None or new.margin > old.margin):
        after = GONE if new.margin is None else format_percent(new.margin)
        yield Looser("guardrail", "margin", format_percent(old.margin), after)
    if (new.floor or 0) > (old.floor or 0):
        yield Looser("guardrail", "floor", format_percent(old.floor or 0), format_percent(new.floor or 0))


def _shown_limit(guardrail: Guardrail) -> str:
    return GONE if guardrail.limit is None else guardrail.limit


def _looser_limit(guardrail: Guardrail, old: str, new: str) -> bool:
    before, after = measure_of(old), measure_of(new)
    if before.dimension != after.dimension:
        return True
    worse = GUARDRAIL_KINDS[guardrail.metric].worse
    return after.amount > before.amount if worse == "more" else after.amount < before.amount


def _sampling(old: Guardrail, new: Guardrail) -> Iterator[Looser]:
    before, after = old.quantile_ppm, new.quantile_ppm
    # A higher quantile looks at the devices that are worse off, where more is worse.
    looser = after != before and (
        before is None or after is None or (after < before) == (GUARDRAIL_KINDS[old.metric].worse == "more")
    )
    if looser and new.metric == old.metric:
        yield Looser("guardrail", "quantile", _quantile(before), _quantile(after))
    if new.min_devices > old.min_devices:
        yield Looser("guardrail", "minDevices", str(old.min_devices), str(new.min_devices))
    if old.severity == "halt" and new.severity == "warn":
        yield Looser("guardrail", "severity", old.severity, new.severity)


def _quantile(ppm: int | None) -> str:
    return "the mean" if ppm is None else format_percent(ppm)

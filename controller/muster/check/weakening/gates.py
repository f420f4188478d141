"""Gates: whether the new one lets nothing through that the old one stopped.

Thresholds are compared as sets of values that pass: the new set must lie within the old one. "20ms" and "0.02s" are
the same threshold; a number and a time cannot be compared, and what cannot be compared counts as looser.
"""

from __future__ import annotations

from collections.abc import Iterator

from muster.check.weakening.looser import GONE, Looser
from muster.kinds.policy import FEWEST_AGREEING, Comparator, Gate
from muster.kinds.quantity import format_duration, measure_of

INCOMPARABLE = "cannot be compared, which counts as weaker"


def looser_gate(old: Gate, new: Gate, old_age: int | None, new_age: int | None) -> tuple[Looser, ...]:
    """Every respect in which `new` asks for less than `old`. The ages (µs) are those that their tiers fall back to."""
    return (
        *_meaning(old, new),
        *_threshold(old, new),
        *_scope(old, new),
        *_sampling(old, new),
        *_rebuilders(old, new),
        *_age(old, new, old_age, new_age),
        *_severity(old, new),
    )


def _meaning(old: Gate, new: Gate) -> Iterator[Looser]:
    if new.metric != old.metric:
        yield Looser("metric", "metric", old.metric, new.metric, INCOMPARABLE)
    if new.relative_to != old.relative_to:
        yield Looser("relative-to", "relativeTo", old.relative_to, new.relative_to, INCOMPARABLE)


def _threshold(old: Gate, new: Gate) -> Iterator[Looser]:
    before, after = measure_of(old.threshold), measure_of(new.threshold)
    if before.dimension != after.dimension:
        yield Looser("threshold", "threshold", old.threshold, new.threshold, INCOMPARABLE)
        return
    if _within(old.comparator, new.comparator, (after.amount > before.amount) - (after.amount < before.amount)):
        return
    if new.comparator == old.comparator:
        yield Looser("threshold", "threshold", old.threshold, new.threshold)
    else:
        yield Looser(
            "comparator",
            "comparator",
            f"{old.comparator} {old.threshold}",
            f"{new.comparator} {new.threshold}",
            "values pass that did not",
        )


def _within(old: Comparator, new: Comparator, moved: int) -> bool:
    """True if every value that passes `new` passes `old`; `moved` is the sign of new threshold minus old threshold."""
    if old == "==":
        return new == "==" and moved == 0
    if new != "==" and new[0] != old[0]:
        return False
    inward = -moved if old[0] == "<" else moved
    if inward != 0:
        return inward > 0
    return old == new or old[-1] == "="


def _scope(old: Gate, new: Gate) -> Iterator[Looser]:
    if new.model not in (None, old.model):
        yield Looser("scope", "model", old.model or "every model", new.model or GONE)
    if new.device_class not in (None, old.device_class):
        yield Looser("scope", "deviceClass", old.device_class or "every device class", new.device_class or GONE)
    if new.slice != old.slice:
        yield Looser("slice", "slice", old.slice or "all data", new.slice or "all data", "another part of the data")


def _sampling(old: Gate, new: Gate) -> Iterator[Looser]:
    if (new.min_samples or 1) < (old.min_samples or 1) or (old.min_samples and new.min_samples is None):
        yield Looser("min-samples", "minSamples", str(old.min_samples), str(new.min_samples or GONE))
    # A lower bound is the strict one where values must be high, an upper one where they must be low; none where they
    # must be equal.
    strict = {"<": "upper", ">": "lower"}.get(old.comparator[0], old.bound)
    if new.bound not in (old.bound, strict):
        yield Looser("bound", "bound", old.bound or GONE, new.bound or GONE)


def _rebuilders(old: Gate, new: Gate) -> Iterator[Looser]:
    if old.rebuilders and (not new.rebuilders or set(new.rebuilders) - set(old.rebuilders)):
        yield Looser("rebuilders", "rebuilders", ", ".join(old.rebuilders), ", ".join(new.rebuilders) or GONE)
    if (new.agreeing or FEWEST_AGREEING) < (old.agreeing or FEWEST_AGREEING):
        yield Looser("agreeing", "agreeing", str(old.agreeing), str(new.agreeing or FEWEST_AGREEING))


def _age(old: Gate, new: Gate, old_age: int | None, new_age: int | None) -> Iterator[Looser]:
    if new.max_age == old.max_age:
        return
    before = old_age if old.max_age is None else old.max_age
    after = new_age if new.max_age is None else new.max_age
    if before is not None and (after is None or after > before):
        yield Looser("max-age", "maxAge", format_duration(before), GONE if after is None else format_duration(after))


def _severity(old: Gate, new: Gate) -> Iterator[Looser]:
    if old.severity == "block" and new.severity == "warn":
        yield Looser("severity", "severity", old.severity, new.severity)

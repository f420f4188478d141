"""When devices may switch, and how many of a site at once: whether a class allows more than before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from muster.check.change import path_of
from muster.check.weakening.looser import GONE, Looser, Weakening, located
from muster.kinds.device_class import DeviceClass
from muster.kinds.finding import Pointer
from muster.kinds.maintenance import WEEK, Disruption, MaintenanceWindow, Span, spans_of
from muster.kinds.quantity import format_percent

ANY_TIME = "any time"
_LONGEST = 80


def weakened_switching(old: DeviceClass, new: DeviceClass) -> Iterator[Weakening]:
    """A time at which devices did not switch before, or more of a site's devices at once."""
    about, path = f"device class {new.metadata.name}", path_of(new)
    before, after = old.spec.maintenance, new.spec.maintenance
    if before and not _within(spans_of(after) if after else (Span(0, WEEK),), spans_of(before)):
        lost = Looser(
            "maintenance", "maintenance", _windows_text(before), _windows_text(after), "devices switch then, too"
        )
        yield located(lost, about, Pointer(path, ("spec",)))
    was, now = old.spec.disruption, new.spec.disruption
    if was is not None and (now is None or now.label != was.label or now.turns < was.turns):
        lost = Looser("disruption", "disruption", _share_text(was), _share_text(now), "more may fail at the same time")
        yield located(lost, about, Pointer(path, ("spec",)))


def _within(inner: Sequence[Span], outer: Sequence[Span]) -> bool:
    """True if every minute of the one is one of the other."""
    whole = (Span(0, WEEK),)
    return tuple(outer) == whole or all(
        any(
            begin + shift <= span.begin and span.end <= end + shift
            for begin, end in outer
            for shift in (-WEEK, 0, WEEK)
        )
        for span in inner
    )


def _windows_text(windows: Sequence[MaintenanceWindow]) -> str:
    texts = (f"{' '.join(one.days) or 'daily'} {one.begins}-{one.ends}" for one in windows)
    return ", ".join(texts)[:_LONGEST] or ANY_TIME


def _share_text(disruption: Disruption | None) -> str:
    return f"{format_percent(disruption.share)} by {disruption.label}" if disruption else GONE

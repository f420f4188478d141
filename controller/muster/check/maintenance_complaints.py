"""Do turns fit what else is declared? A device must ask at least once in each of its turns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from muster.kinds.device_class import DeviceClass
from muster.kinds.finding import Complaint, Pointer
from muster.kinds.policy import Policy
from muster.kinds.quantity import format_duration
from muster.kinds.release import Release


def turn_complaints(
    classes: Mapping[str, DeviceClass], releases: Iterable[Release], policies: Iterable[Policy]
) -> Iterator[Complaint]:
    """Complaints about device classes, by path, whose devices ask too seldom for the turns that they have."""
    intervals = {tier.name: tier.health.poll_interval for policy in policies for tier in policy.spec.tiers}
    declared = list(releases)
    for path, device_class in classes.items():
        disruption = device_class.spec.disruption
        if disruption is None or not disruption.sweep:
            continue
        asks: dict[str, int] = {}
        for release in declared:
            if release.spec.tier in intervals and release.runtime_for(device_class.metadata.name) is not None:
                interval = intervals[release.spec.tier]
                asks[release.model] = min(interval, asks.get(release.model, interval))
        seldom = max(asks, key=lambda model: asks[model], default=None)
        if seldom is not None and asks[seldom] > disruption.turn:
            yield Complaint(
                Pointer(path, ("spec", "disruption", "turn")),
                "turn-too-short",
                f"devices ask for {seldom} every {format_duration(asks[seldom])}, and a turn takes "
                f"{format_duration(disruption.turn)}: some would never ask in theirs",
                "write a longer turn, or a shorter health.pollInterval in the tier",
            )

"""From which generation on each release is judged on each device class: when it came (back) on offer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from muster.kinds.fleet import Fleet
from muster.plan.world import Published, Suspension


def judged_since(
    fleet: Fleet | None,
    published: Published,
    suspensions: Mapping[str, Suspension],
    resumed: Mapping[str, int],
    now: datetime,
) -> dict[tuple[str, str], int]:
    """(release, device class) → generation; a place that is not named is judged by all that was ever shown there.

    What is not published yet comes with the next generation, and so does what comes out of a suspension. What is
    suspended keeps the evidence against it; for a time, that of this attempt alone.
    """
    in_force = {name: item for name, item in suspensions.items() if not (item.until and item.until <= now)}
    following = published.generation + 1
    since = {
        (release.name, runtime.device_class): following
        for release in (fleet.releases if fleet else ())
        for runtime in release.spec.runtimes
        if (item := in_force.get(release.name)) is None or item.until is not None
    }
    for (_, device_class), document in published.documents.items():
        since |= {
            (entry.release, device_class): max(entry.since, resumed.get(entry.release, 0) + 1)
            for entry in document.entries
        }
    for name, item in in_force.items():
        since |= {(name, device_class): generation for device_class, generation in item.since.items()}
    over = suspensions.keys() - in_force.keys()
    return {place: following if place[0] in over else generation for place, generation in since.items()}

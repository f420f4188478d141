"""Which way to an artifact takes the fewest bytes. A pure function of its index and of what the device holds."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from muster.kinds.delta import DeltaIndex, delta_path, part_path
from muster.kinds.telemetry import Way

REQUEST = 512
"""Bytes that a request and the head of its answer count as."""


@dataclass(frozen=True)
class Wanted:
    """A file beside the targets: where it lies, and what it must be."""

    path: str
    digest: str
    length: int


@dataclass(frozen=True)
class Route:
    """`files` are fetched, and with what the device holds are the artifact. `since`: the artifact of a delta."""

    way: Way
    files: tuple[Wanted, ...]
    since: str | None = None


def cheapest(
    index: DeltaIndex,
    parts: Collection[str],
    artifacts: Collection[str],
    have: Callable[[Wanted], int],
    full: int,
) -> Route | None:
    """None if nothing is cheaper than the artifact as a whole, of which `full` bytes are missing.

    `parts` and `artifacts`: digests of what the device holds. `have`: bytes of a file that were fetched before.
    """
    missing = [part for part in index.parts if part.digest not in parts]
    wanted = tuple(
        Wanted(part_path(part.packed), part.packed, part.packed_length)
        for part in {part.packed: part for part in missing}.values()
    )
    routes = [Route("parts" if wanted else "nothing", wanted)]
    routes += [
        Route("delta", (Wanted(delta_path(delta.digest), delta.digest, delta.length),), delta.since)
        for delta in index.deltas
        if delta.since in artifacts
    ]

    def cost(route: Route) -> int:
        left = [max(0, file.length - have(file)) for file in route.files]
        return sum(length + REQUEST for length in left if length)

    best = min(routes, key=cost)
    return best if cost(best) < full + REQUEST * bool(full) else None

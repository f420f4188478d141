"""Suspensions that were made for a time: when that time has come, and what the world is then.

What comes out of a suspension is offered anew, from the next generation on, and judged by what devices show from there:
otherwise the numbers that it was suspended with would suspend it again at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from muster.kinds.moment import utc_text
from muster.plan.world import World


@dataclass(frozen=True)
class Lapse:
    """End a suspension whose time has come. `generation` is what was published then."""

    release: str
    reason: str
    generation: int


def lapse(world: World, now: datetime) -> tuple[tuple[Lapse, ...], World]:
    """What ends now, and the world as if it had ended."""
    over = {name: item.until for name, item in world.suspensions.items() if item.until and item.until <= now}
    generation = world.published.generation
    lapses = tuple(
        Lapse(name, f"it was suspended until {utc_text(until)}", generation) for name, until in sorted(over.items())
    )
    in_force = {name: item for name, item in world.suspensions.items() if name not in over}
    return lapses, replace(world, suspensions=in_force, resumed={**world.resumed, **dict.fromkeys(over, generation)})

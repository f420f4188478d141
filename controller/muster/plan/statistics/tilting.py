"""The mixture that every test of a share is made of.

Null: each of n draws shows the event with a chance of at most q. Alternative: the odds are θ times those of q. A draw's
likelihood ratio is θ/(1+q(θ-1)) with the event and 1/(1+q(θ-1)) without. For θ > 1 the first is above 1 and the second
below, so that their mean is 1 at q and less for any smaller chance: the product over draws is a test supermartingale,
whatever decides which draw comes next. Draws may have different q:

    E_θ = θ^events · Π_steps (1 + q_step (θ-1))^(-draws_step)

With equal q it depends on counts only; with several it depends on counts per step only.

θ is unknown, and an average over θ is again a supermartingale (H. Robbins, *Statistical methods related to the law of
the iterated logarithm*, 1970). θ/(1+θ) is given Beta(1/2, 1/2) cut to (1/2, 1): with q = 1/2 this is the beta-binomial
e-process, one-sided; with another q it is the same on the scale of odds, so that a bound of 0.01 % is tested as well as
one of 10 %. With θ = tan² φ this prior is uniform in φ between π/4 and π/2. The average is taken over `NODES`
midpoints: a finite average is itself a supermartingale, so that this costs no validity, only some power against
relative risks below 1.03.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

NODES = 64
_ANGLES = tuple(math.pi / 4 * (1 + (index + 0.5) / NODES) for index in range(NODES))
LOG_TILTS = tuple(2 * math.log(math.tan(angle)) for angle in _ANGLES)
"""ln θ, ascending."""
_EXCESS = tuple(math.expm1(tilt) for tilt in LOG_TILTS)
_LOG_NODES = math.log(NODES)

Draws = tuple[float, int]
"""(chance of the event under the null, number of draws)"""


@lru_cache(maxsize=4096)
def costs(chance: float) -> tuple[float, ...]:
    """ln(1 + q(θ-1)) per node: what one draw costs."""
    return tuple(math.log1p(chance * excess) for excess in _EXCESS)


def log_evidence(events: int, draws: Sequence[Draws]) -> float:
    """Log evidence that the event is more frequent than the chances say."""
    if not draws:
        return 0.0
    paid = [0.0] * NODES
    for chance, number in draws:
        paid = [sum_ + number * cost for sum_, cost in zip(paid, costs(chance), strict=True)]
    return _average(events, paid)


@lru_cache(maxsize=16384)
def log_evidence_at(events: int, number: int, cost: tuple[float, ...]) -> float:
    """The same for draws of one chance, with `costs(chance)` computed before.

    Two arms are compared at many ratios, and each ratio asks for the same few counts again.
    """
    return _average(events, [number * one for one in cost])


def _average(events: int, paid: Sequence[float]) -> float:
    return log_sum([events * tilt - one for tilt, one in zip(LOG_TILTS, paid, strict=True)]) - _LOG_NODES


def log_sum(logs: Sequence[float]) -> float:
    """Log of a sum of exponentials, without overflow."""
    top = max(logs)
    return top if math.isinf(top) else top + math.log(sum(math.exp(one - top) for one in logs))

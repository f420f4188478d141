"""Sample ratio: are devices seen in the shares in which the release was offered?

Asked first: if they are not, something decides who is counted (a bucket computed wrongly, reports of one arm lost, a
release that keeps its devices from reporting), and no comparison of the arms means anything.

Sequential multinomial test with a Dirichlet mixture: counts x of draws with offered shares p, Dirichlet(α = k·p):

    E = Γ(Σα)/Γ(Σα+Σx) · Π_i Γ(α_i+x_i)/Γ(α_i) / Π_i p_i^x_i

(M. Lindon and A. Malek, *Anytime-valid inference for multinomial count data*, 2022). Each step has its own shares and
its own mixture: the factors of a product of e-processes over disjoint draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from muster.plan.statistics.counts import LARGEST, PPM

CONCENTRATION = 200.0
"""k: the mixture expects shares that differ from the offered ones by a few percent."""


@dataclass(frozen=True)
class Part:
    """Devices of one arm or cohort that were seen since it was offered its share."""

    name: str
    seen: int
    offered_ppm: int


Parts = tuple[Part, ...]


def log_evidence(steps: Sequence[Parts]) -> float:
    """Log evidence that devices are not seen in the offered shares."""
    return sum(_step(parts) for parts in steps)


def _step(parts: Parts) -> float:
    offered = sum(part.offered_ppm for part in parts)
    if any(part.seen and not part.offered_ppm for part in parts):
        return math.inf
    total, evidence = 0, 0.0
    for part in parts:
        if not part.offered_ppm:
            continue
        share = part.offered_ppm / offered
        prior = CONCENTRATION * share
        evidence += math.lgamma(prior + part.seen) - math.lgamma(prior) - part.seen * math.log(share)
        total += part.seen
    return evidence + math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + total)


def complaint(steps: Sequence[Parts]) -> str | None:
    """What makes these counts impossible."""
    parts = [part for step in steps for part in step]
    if any(not 0 <= part.seen <= LARGEST or not 0 <= part.offered_ppm <= PPM for part in parts):
        return "a count or a share is out of range"
    return None


def furthest(steps: Sequence[Parts]) -> Part | None:
    """The part that is furthest from its share, in standard deviations; None if nobody was seen.

    Of two parts both are equally far off: the one that is not seen is named.
    """
    distances = []
    for parts in steps:
        offered, total = sum(part.offered_ppm for part in parts), sum(part.seen for part in parts)
        for part in parts if total and offered else ():
            expected = total * part.offered_ppm / offered
            deviation = math.sqrt(max(expected * (1 - part.offered_ppm / offered), 1e-9))
            distance = round(abs(part.seen - expected) / deviation, 6)
            distances.append((distance, expected - part.seen, part.name, part))
    return max(distances, key=lambda item: item[:3])[3] if distances else None

"""Several questions, one declared error: guardrails × strata of one release.

Harm. The mean of e-processes is an e-process, whatever makes them depend on each other (V. Vovk and R. Wang,
*E-values: calibration, combination and applications*, 2021). A release that does no harm is halted with a chance of at
most α if it is halted once the mean over all `tests` reaches 1/α. One stratum alone gets there at `tests`/α, the
threshold of `decide`: the worst stratum decides; several that are each not quite beyond it get there together. `tests`
counts the strata that a release can reach, reported or not, and must not grow while it rolls out.

No worse. A release advances when every question of every stratum says so. To advance wrongly, the one that is truly
beyond its boundary must be passed, which has a chance of at most α by itself: nothing needs to be divided (R. Berger,
*Multiparameter hypothesis testing and acceptance sampling*, 1982).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from muster.plan.statistics.counts import PPM
from muster.plan.statistics.tilting import log_sum
from muster.plan.statistics.verdict import Verdict


@dataclass(frozen=True)
class Terms:
    """What a release's tests have in common.

    error_ppm     declared chance of halting a release that does no harm; and of advancing one that is too bad
    tests         guardrails × strata that the release can reach
    min_devices   devices that must have tried before harm is said, and whose trial must have ended before "no worse" is
    strata        that the release can reach: they share the error of the sample ratio
    """

    error_ppm: int = 50_000
    tests: int = 1
    min_devices: int = 1
    strata: int = 1

    @property
    def harm_needed(self) -> float:
        """Log evidence that one question alone needs."""
        return self.no_worse_needed + math.log(max(self.tests, 1))

    @property
    def no_worse_needed(self) -> float:
        """Log evidence that each question needs."""
        return math.log(PPM / self.error_ppm)


def together(verdicts: Sequence[Verdict], terms: Terms) -> Verdict | None:
    """The verdict that decides: harm, else what cannot be told, else the least decided one; None if there is none.

    Harm that only the mean shows is told of the question with the most evidence. What cannot be told is no evidence,
    and neither is what too few devices showed: how many must have tried is each question's own.
    """
    if not verdicts:
        return None
    told = [verdict for verdict in verdicts if verdict.outcome != "cannot-tell" and not verdict.too_few]
    worst = max(told, key=lambda verdict: (verdict.outcome == "harm", verdict.harm, verdict.reason), default=None)
    if worst and worst.outcome == "harm":
        return worst
    if worst and log_sum([verdict.harm for verdict in told]) >= terms.harm_needed:
        reason = f"all {len(told)} questions together show harm; most of it: {worst.reason}"
        return replace(worst, outcome="harm", reason=reason, lifted_by="a release with other pins")
    order = ("cannot-tell", "undecided", "no-worse")
    return min(verdicts, key=lambda verdict: (order.index(verdict.outcome), verdict.no_worse, verdict.reason))

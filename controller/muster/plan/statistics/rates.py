"""Shares of devices: against a fixed bound, and against the concurrent control.

Fixed bound. Draws are devices, the chance is the bound. `tilting` proves it.

Control: conditional on an event, which arm did it fall to? With exposure share s and a relative risk of at most r the
chance that it is the candidate's is at most q = s·r / (s·r + 1 - s); the chance of an event itself, and all that moves
both arms together while both are watched (an outage, a heat wave), cancels. Works with a control that never failed.
Draws are events (J. Przyborowski and H. Wilenski, *Homogeneity of results in testing samples from Poisson series*,
1940; sequential: the safe logrank test of J. ter Schure, M. F. Pérez-Ortiz, A. Ly and P. Grünwald, 2020).

Exposure shares that change. Each step of the rollout is a set of draws with its own s; all share one mixture over
relative risks, so that evidence gathered at 5 % is not lost at 25 %. Within a step, s is read from the counts at the
time of looking. An event of the past may have happened at another share s'. Evidence of harm falls with s: read with a
share that is at least s' for every event of the step, it is at most the supermartingale of `tilting` at the true
shares, and the error holds. `counts` makes it so: for harm the candidate's exposure counts every device that tried,
the control's only ended trials; devices move from control to candidate and never back within a step. For "no worse"
evidence rises with s, and the exposures are read the other way round. `tests/plan/statistics` plays this with trials
that begin, end and fail at different times.

Floor. Below a floor, a share is no harm whatever the control shows: a healthy update that one device in 10,000 cannot
write to its flash must not be halted because nobody fails who is not updated. Null: p1 <= r·p0 or p1 <= floor; the
smaller of the two e-processes is one for both. "No worse" is the other way round: either suffices, their average is
an e-process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from muster.plan.statistics.counts import PPM, Arm, Step
from muster.plan.statistics.tilting import Draws, log_evidence, log_sum


def _total(arms: Sequence[Arm]) -> Arm:
    return sum(arms, Arm())


def harm_against_limit(arm: Arm, limit: float) -> float:
    """Log evidence that more than `limit` (a share) of the devices fail."""
    return log_evidence(arm.failed, [(limit, arm.tried)])


def no_worse_than_limit(arm: Arm, limit: float) -> float:
    """Log evidence that fewer than `limit` of the devices fail; a missing report counts as a failure."""
    held = arm.concluded - arm.failed - arm.missing
    return log_evidence(held, [(1 - limit, arm.concluded)])


def harm_against_control(steps: Sequence[Step], ratio: float, floor: float = 0.0) -> float:
    """Log evidence that the candidate fails more than `ratio` times as often as the control, and more than `floor`."""
    read = [Step(_missing_held(step.candidate), _missing_failed(step.control)) for step in steps]
    draws = [_draws(step, step.candidate.tried, step.control.concluded, ratio) for step in read]
    evidence = log_evidence(sum(step.candidate.failed for step in read), draws)
    return min(evidence, harm_against_limit(_total([step.candidate for step in steps]), floor)) if floor else evidence


def no_worse_than_control(steps: Sequence[Step], ratio: float, floor: float = 0.0) -> float:
    """Log evidence that the candidate fails less than `ratio` times as often as the control, or less than `floor`."""
    read = [Step(_missing_failed(step.candidate), _missing_held(step.control)) for step in steps]
    draws = [
        (1 - chance, number)
        for chance, number in (_draws(step, step.candidate.concluded, step.control.tried, ratio) for step in read)
    ]
    evidence = log_evidence(sum(step.control.failed for step in read), draws)
    if not floor:
        return evidence
    below = no_worse_than_limit(_total([step.candidate for step in steps]), floor)
    return log_sum((evidence, below)) - math.log(2)


def _draws(step: Step, candidate: int, control: int, ratio: float) -> Draws:
    """Events of a step, and the chance that one of them is the candidate's while its risk is `ratio` times as high."""
    weighted = candidate * ratio
    chance = weighted / (weighted + control) if weighted + control else 0.5
    return chance, step.candidate.failed + step.control.failed


def _missing_failed(arm: Arm) -> Arm:
    return Arm(arm.tried, arm.concluded, arm.failed + arm.missing)


def _missing_held(arm: Arm) -> Arm:
    return Arm(arm.tried, arm.concluded, arm.failed)


def share(arm: Arm) -> float | None:
    """Failures per ended trial, as a share; None before the first has ended."""
    return arm.failed / arm.concluded if arm.concluded else None


def exposure_ppm(steps: Sequence[Step]) -> int:
    """The candidate's part of all devices that are watched."""
    candidate = sum(step.candidate.tried for step in steps)
    watched = candidate + sum(step.control.tried for step in steps)
    return candidate * PPM // watched if watched else 0

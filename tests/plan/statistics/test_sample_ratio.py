"""Sample ratio: ville's beta-binomial for two parts, and who is furthest off."""

from __future__ import annotations

import math

import numpy as np
import pytest
import ville

from muster.plan.statistics.sample_ratio import CONCENTRATION, Part, complaint, furthest, log_evidence

NEEDED = math.log(100)


def two(ours: int, theirs: int, ppm: int = 50_000) -> tuple[Part, ...]:
    """Candidate and control of one step."""
    return Part("candidate", ours, ppm), Part("control", theirs, 1_000_000 - ppm)


def test_two_parts_are_the_beta_binomial_of_ville() -> None:
    """To the last digits, after any number of devices."""
    draws = (np.random.default_rng(3).random(3_000) < 0.06).astype(float)
    prior = (CONCENTRATION * 0.05, CONCENTRATION * 0.95)
    theirs = ville.BernoulliTest(0.05, prior=prior).fit(draws).log_e_values_
    for seen in (1, 10, 500, 3_000):
        ours = int(draws[:seen].sum())
        assert theirs[seen - 1] == pytest.approx(log_evidence([two(ours, seen - ours)]), abs=1e-6)


def test_the_mean_is_one_over_all_outcomes() -> None:
    """Three parts and six devices: multinomial chances times E sum to one."""
    shares, devices, total = (0.2, 0.3, 0.5), 6, 0.0
    for a in range(devices + 1):
        for b in range(devices + 1 - a):
            c = devices - a - b
            ways = math.factorial(devices) / math.factorial(a) / math.factorial(b) / math.factorial(c)
            chance = ways * 0.2**a * 0.3**b * 0.5**c
            counts = zip("abc", (a, b, c), shares, strict=True)
            total += chance * math.exp(log_evidence([tuple(Part(n, k, int(p * 1e6)) for n, k, p in counts)]))
    assert total == pytest.approx(1.0, rel=1e-9)


def test_a_lost_half_is_found_and_fair_shares_are_not() -> None:
    """Half of the candidates are not seen: found within 10,000 devices; also if only the second step loses them."""
    assert log_evidence([two(500, 9_500)]) < 0
    assert log_evidence([two(250, 9_500)]) > NEEDED
    assert log_evidence([two(500, 9_500), two(1_250, 7_500, 250_000)]) > NEEDED
    assert furthest([two(500, 9_500), two(1_250, 7_500, 250_000)]) == Part("candidate", 1_250, 250_000)


def test_who_was_offered_nothing_must_not_be_seen() -> None:
    """One such device is proof; a part without share and devices is none."""
    assert log_evidence([(Part("a", 5, 1_000_000), Part("b", 1, 0))]) == math.inf
    assert log_evidence([(Part("a", 5, 1_000_000), Part("b", 0, 0))]) == pytest.approx(0)
    assert log_evidence([]) == 0
    assert furthest([]) is None


def test_counts_that_cannot_be() -> None:
    """Negative, or a share beyond the whole."""
    assert complaint([two(1, 2)]) is None
    assert complaint([(Part("a", -1, 1),)])
    assert complaint([(Part("a", 1, 1_000_001),)])

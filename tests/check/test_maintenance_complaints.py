"""A turn that devices may sleep through is complained about where it is declared."""

from __future__ import annotations

from fleets import make_class, make_policy, make_release
from muster.check.maintenance_complaints import turn_complaints
from muster.kinds.maintenance import MINUTE, Disruption


def test_devices_that_ask_too_seldom_miss_their_turn() -> None:
    """With the interval and the turn, at the place of the turn."""
    assert complaints("20%", poll=5 * MINUTE) == [
        "devices ask for meter-reader every 5m, and a turn takes 1m: some would never ask in theirs"
    ]


def test_devices_that_ask_often_enough_do_not() -> None:
    """At least once in each turn; where everybody may switch at once, it does not matter."""
    assert complaints("20%", poll=MINUTE) == complaints("100%", poll=5 * MINUTE) == []


def complaints(share: str, poll: int) -> list[str]:
    device_class, policy = make_class("cam-day"), make_policy()
    tiers = tuple(
        tier.model_copy(update={"health": tier.health.model_copy(update={"poll_interval": poll})})
        for tier in policy.spec.tiers
    )
    policy = policy.model_copy(update={"spec": policy.spec.model_copy(update={"tiers": tiers})})
    disruption = Disruption(label="site", share=share, turn=MINUTE)
    spec = device_class.spec.model_copy(update={"disruption": disruption})
    classes = {"devices/classes/cam-day.yaml": device_class.model_copy(update={"spec": spec})}
    found = list(turn_complaints(classes, [make_release("1.0.0", {"canary": 50_000})], [policy]))
    assert all(one.pointer.path == ("spec", "disruption", "turn") for one in found)
    return [one.message for one in found]

"""A rehearsal says that the fleet came back only if it did."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fleets import MODEL, make_class, make_fleet, make_release
from muster.kinds.errors import Refused
from muster.kinds.fleet import Fleet
from muster.simulate.rehearsal import rehearse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW = f"{MODEL}/1.1.0", f"{MODEL}/1.2.0"


def fleet(**newer: object) -> Fleet:
    """Two releases of one model; the newer one reaches nobody yet."""
    return make_fleet(
        make_release("1.2.0", {"canary": "0%"}, supersedes="1.1.0", **newer), make_release("1.1.0", {"canary": "100%"})
    )


def test_every_device_comes_back() -> None:
    """Stopped by its guardrails and stopped by a person; whatever the declared percentages are."""
    found = rehearse(fleet(), NEW, OLD, NOW)
    assert found.returned
    text = "\n".join(found.transcript)
    assert text.count(f"every device is back on {OLD}") == 2
    assert f"suspend {NEW}: halted by whoever rehearses" in text
    assert "of 40 devices that tried it failed" in text
    assert found.devices == 80
    assert found == rehearse(fleet(), NEW, OLD, NOW)


def test_a_tier_without_guardrails_has_one_way_back() -> None:
    """Nothing but a person would stop it."""
    declared = fleet()
    policy = declared.policies[0]
    tiers = tuple(tier.model_copy(update={"guardrails": ()}) for tier in policy.spec.tiers)
    bare = policy.model_copy(update={"spec": policy.spec.model_copy(update={"tiers": tiers})})
    found = rehearse(replace(declared, policies=(bare,)), NEW, OLD, NOW)
    assert found.returned
    assert "way back: harm" not in "\n".join(found.transcript)


def test_guardrails_that_stop_nothing_are_found_out() -> None:
    """A guardrail that waits for more devices than there are lets harm stay: the rehearsal fails, and says so."""
    declared = fleet()
    policy = declared.policies[0]
    tiers = tuple(
        tier.model_copy(
            update={"guardrails": tuple(rail.model_copy(update={"min_devices": 100_000}) for rail in tier.guardrails)}
        )
        for tier in policy.spec.tiers
    )
    deaf = policy.model_copy(update={"spec": policy.spec.model_copy(update={"tiers": tiers})})
    found = rehearse(replace(declared, policies=(deaf,)), NEW, OLD, NOW)
    assert not found.returned
    assert any("stuck" in line for line in found.transcript)


def test_classes_that_only_one_of_both_goes_to_are_left_out() -> None:
    """They could not come back, and say nothing about those that can."""
    found = rehearse(fleet(classes=("cam-day",)), NEW, OLD, NOW)
    assert found.returned
    assert found.devices == 40


@pytest.mark.parametrize(
    ("release", "back_to", "why"),
    [
        (NEW, f"{MODEL}/0.9.0", "declares no release"),
        (NEW, NEW, "cannot go back"),
    ],
    ids=["not-declared", "itself"],
)
def test_what_cannot_be_rehearsed(release: str, back_to: str, why: str) -> None:
    """Is refused with its reason."""
    with pytest.raises(Refused, match=why):
        rehearse(fleet(), release, back_to, NOW)


def test_no_common_class_cannot_be_rehearsed() -> None:
    """Two releases for different hardware have no way back to each other."""
    newer = make_release("1.2.0", {"canary": "0%"}, classes=("cam-night",))
    declared = replace(fleet(), releases=(newer, make_release("1.1.0", {"canary": "100%"})))
    declared = replace(declared, device_classes=(*declared.device_classes, make_class("cam-night")))
    with pytest.raises(Refused, match="no device takes both"):
        rehearse(declared, NEW, OLD, NOW)

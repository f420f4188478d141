"""What is done about drift may not be loosened in silence."""

from __future__ import annotations

from typing import Any

import pytest

from fleets import make_class
from muster.check.weakening.stakes import weakened_classes
from muster.kinds.device_class import DeviceClass
from muster.kinds.drift import DriftRule
from muster.kinds.fleet import Fleet

FACTORY = "sha256:" + "f" * 64


def a_class(action: str, *rules: dict[str, Any]) -> DeviceClass:
    found = make_class("cam-day")
    made = tuple(DriftRule.model_validate({"why": "w", **rule}) for rule in rules)
    return found.model_copy(update={"spec": found.spec.model_copy(update={"drift": action, "drift_rules": made})})


@pytest.mark.parametrize(
    ("before", "after", "looser"),
    [
        (a_class("Correct"), a_class("Warn"), True),
        (a_class("Warn"), a_class("Ignore"), True),
        (a_class("Ignore"), a_class("Correct"), False),
        (a_class("Correct"), a_class("Correct", {"field": "artifact", "action": "Ignore"}), True),
        (a_class("Correct"), a_class("Correct", {"field": "artifact", "action": "Warn", "values": [FACTORY]}), True),
        (a_class("Correct"), a_class("Correct", {"field": "runtimeVersion", "action": "Warn"}), False),
        (a_class("Warn", {"field": "artifact", "action": "Correct"}), a_class("Warn"), True),
        (a_class("Warn"), a_class("Warn", {"field": "artifact", "action": "Correct"}), False),
    ],
    ids=["warn", "ignore", "stricter", "a field", "a value", "as before", "rule gone", "stricter rule"],
)
def test_less_care_is_a_weakening(before: DeviceClass, after: DeviceClass, looser: bool) -> None:
    """By field and by value; what is stricter, or the same in other words, is none."""
    found = [one.what for one in weakened_classes(Fleet.of([before]), Fleet.of([after]))]
    assert found == (["drift"] if looser else [])

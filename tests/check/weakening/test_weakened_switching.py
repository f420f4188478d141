"""That devices switch at other times, or more of a site at once, is not loosened in silence."""

from __future__ import annotations

from typing import Any

import pytest

from fleets import make_class
from muster.check.weakening.stakes import weakened_classes
from muster.kinds.device_class import DeviceClass
from muster.kinds.fleet import Fleet
from muster.kinds.maintenance import Disruption, MaintenanceWindow

NIGHT = {"begins": "22:00", "ends": "05:00"}
SMALL_HOURS = {"begins": "00:00", "ends": "04:00"}


def a_class(*windows: dict[str, Any], share: str | None = None, label: str = "site") -> DeviceClass:
    found = make_class("cam-day")
    declared = {
        "maintenance": tuple(MaintenanceWindow(**window) for window in windows),
        "disruption": Disruption(label=label, share=share, turn="15m") if share else None,
    }
    return found.model_copy(update={"spec": found.spec.model_copy(update=declared)})


@pytest.mark.parametrize(
    ("before", "after", "looser"),
    [
        (a_class(NIGHT), a_class(), ["maintenance"]),
        (a_class(), a_class(NIGHT), []),
        (a_class(NIGHT), a_class(SMALL_HOURS), []),
        (a_class(SMALL_HOURS), a_class(NIGHT), ["maintenance"]),
        (a_class({**NIGHT, "days": ("Sun",)}), a_class({**SMALL_HOURS, "days": ("Mon",)}), []),
        (a_class({**NIGHT, "days": ("Sun",)}), a_class({**SMALL_HOURS, "days": ("Sun",)}), ["maintenance"]),
        (a_class(NIGHT), a_class({"begins": "22:00", "ends": "00:00"}, {"begins": "00:00", "ends": "05:00"}), []),
        (a_class({"begins": "00:00", "ends": "24:00"}), a_class(), []),
        (a_class(share="20%"), a_class(), ["disruption"]),
        (a_class(share="20%"), a_class(share="25%"), ["disruption"]),
        (a_class(share="20%"), a_class(share="20%", label="building"), ["disruption"]),
        (a_class(share="20%"), a_class(share="10%"), []),
        (a_class(), a_class(share="10%"), []),
    ],
    ids=["gone", "new", "narrower", "wider", "the night of Sunday", "another night", "cut in two", "any time anyway",
         "no share", "more", "other sites", "less", "a share"],
)  # fmt: skip
def test_switching_more_freely_is_a_weakening(before: DeviceClass, after: DeviceClass, looser: list[str]) -> None:
    """By the minutes of the week, whatever the words; and by the share of a site."""
    assert looser == [one.what for one in weakened_classes(Fleet.of([before]), Fleet.of([after]))]

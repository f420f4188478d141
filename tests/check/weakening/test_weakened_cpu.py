"""A class that declared its CPU cannot be judged without it."""

from __future__ import annotations

import pytest

from fleets import make_class
from muster.check.weakening.stakes import weakened_classes
from muster.kinds.device_class import DeviceClass
from muster.kinds.fleet import Fleet


def class_with(cpu: str | None) -> DeviceClass:
    found = make_class("cam-day")
    return found.model_copy(update={"spec": found.spec.model_copy(update={"cpu": cpu})})


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Haswell", None, ["Haswell → nothing"]),
        ("Haswell", "Nehalem", ["Haswell → Nehalem"]),
        ("Haswell", "Haswell", []),
        (None, "Haswell", []),
    ],
)
def test_another_cpu_is_a_weakening(before: str | None, after: str | None, said: list[str]) -> None:
    """To take it away, or to name one that answers otherwise; to declare one for the first time is none."""
    found = [one.message for one in weakened_classes(Fleet.of([class_with(before)]), Fleet.of([class_with(after)]))]
    assert [any(words in message for words in said) for message in found] == [True] * len(said)

"""What can be declared about windows and turns, and what never could hold."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from fleets import make_class
from muster.kinds.device_class import DeviceClassSpec
from muster.kinds.maintenance import DAY, WEEK, Disruption, MaintenanceWindow, Span, spans_of


def read(**declared: object) -> DeviceClassSpec:
    """A class's spec as a file says it."""
    spec = make_class("cam-day").spec.model_dump(mode="json") | declared
    return DeviceClassSpec.model_validate_json(json.dumps(spec))


def test_windows_and_turns_are_read_and_written_alike() -> None:
    """Under the names that YAML has."""
    maintenance = [{"days": ["Mon", "Tue"], "from": "22:00", "to": "05:00"}]
    disruption = {"label": "site", "share": "20%", "turn": "15m"}
    spec = read(maintenance=maintenance, disruption=disruption)
    written = spec.model_dump(mode="json")
    assert (maintenance, disruption) == (written["maintenance"], written["disruption"])


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"maintenance": [{"from": "02:00", "to": "02:00"}]}, "says nothing"),
        ({"maintenance": [{"from": "24:00", "to": "02:00"}]}, "pattern"),
        ({"maintenance": [{"from": "2:00", "to": "05:00"}]}, "pattern"),
        ({"maintenance": [{"from": "02:00", "to": "05:00", "days": ["Mon", "Mon"]}]}, "twice"),
        ({"maintenance": [{"from": "02:00", "to": "05:00", "days": ["Monday"]}]}, "Input should be 'Mon'"),
        ({"maintenance": [{"from": "02:00", "to": "05:00"}] * 17}, "at most 16"),
        ({"disruption": {"label": "site", "share": "0%", "turn": "15m"}}, "no device would ever switch"),
        ({"disruption": {"label": "site", "share": "20%", "turn": "10s"}}, 'at least "1m"'),
        ({"disruption": {"label": "site", "share": "0.1%", "turn": "15m"}}, 'more than "7d"'),
        (
            {
                "maintenance": [{"from": "02:00", "to": "03:00"}],
                "disruption": {"label": "site", "share": "20%", "turn": "15m"},
            },
            "a window of 1h is too short for 5 turns of 15m",
        ),
    ],
    ids=["no length", "24:00", "short", "twice", "long day", "many", "nobody", "hasty", "too long", "never in turn"],
)
def test_what_could_not_hold_is_refused(declared: dict[str, object], message: str) -> None:
    """With what is wrong, when it is read."""
    with pytest.raises(ValidationError, match=message):
        read(**declared)


@pytest.mark.parametrize(
    ("share", "turns", "minutes"), [("100%", 1, 0), ("50%", 2, 30), ("30%", 4, 50), ("20%", 5, 60), ("7%", 15, 160)]
)
def test_turns_are_never_so_few_that_the_share_is_exceeded(share: str, turns: int, minutes: int) -> None:
    """Rounded up; within the sweep every device has one whole turn. With one turn, nobody waits."""
    disruption = Disruption(label="site", share=share, turn="10m")
    assert (turns, minutes * 60_000_000) == (disruption.turns, disruption.sweep)


def test_windows_that_touch_are_one() -> None:
    """Over midnight and over the end of the week; all of the week is one without an end."""
    night = MaintenanceWindow(days=("Sun",), begins="22:00", ends="02:00")
    morning = MaintenanceWindow(days=("Mon",), begins="01:00", ends="03:00")
    assert (Span(6 * DAY + 22 * 60, WEEK + 3 * 60),) == spans_of([morning, night])
    assert (Span(0, WEEK),) == spans_of([MaintenanceWindow(begins="00:00", ends="24:00")])
    assert spans_of([]) == ()

"""Events as people read them: one line each, whatever a body holds."""

from __future__ import annotations

from typing import Any

import pytest

from muster.kinds.event_kind import EVENT_KINDS
from muster.review.events import Filter, shown, summary

BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "declared": ({"commit": "a" * 40, "previous": None}, f"commit {'a' * 12}, before it none"),
    "declaration-refused": ({"commit": "a" * 40, "reason": "no\nsuch"}, f"{'a' * 40}: no such"),
    "approval-seen": ({"commit": "a" * 40, "by": "ben", "of": ""}, f"ben approved the change on {'a' * 12}"),
    "prepared": ({"release": "m/1.0.0", "pins": "p"}, "m/1.0.0"),
    "not-prepared": ({"release": "m/1.0.0", "pins": "p", "reason": "differs"}, "m/1.0.0: differs"),
    "decided": (
        {"subject": "g of m/1.0.0 in cam", "outcome": "harm", "before": None},
        "g of m/1.0.0 in cam: undecided → harm",
    ),
    "published": (
        {"generation": 2, "documents": {"m/cam": [{"release": "m/1.0.0"}], "m/tv": []}},
        "generation 2; m/cam: 1.0.0; m/tv: nothing",
    ),
    "suspended": ({"release": "m/1.0.0", "reason": "harm"}, "m/1.0.0: harm"),
    "lifted": ({"release": "m/1.0.0", "reason": "git says so"}, "m/1.0.0: git says so"),
    "resumed": ({"release": "m/1.0.0", "reason": "said so"}, "m/1.0.0: said so"),
    "lapsed": ({"release": "m/1.0.0", "reason": "it is over"}, "m/1.0.0: it is over"),
    "drifted": ({"field": "artifact", "model": "m", "deviceClass": "cam"}, "artifact of m on cam"),
    "drift-ended": ({"field": "artifact", "model": "m", "deviceClass": "cam"}, "artifact of m on cam"),
    "reverted": ({"release": "m/1.0.0", "commit": "c", "reason": "harm"}, "m/1.0.0: harm"),
    "advanced": ({"release": "m/1.0.0", "cohort": "fleet", "before": "5%", "after": "25%"}, "m/1.0.0: fleet 5% → 25%"),
    "proposed": ({"release": "m/1.0.0", "reference": "#7", "reason": "harm"}, "m/1.0.0: #7: harm"),
    "proposal-ended": ({"release": "m/1.0.0", "reference": "#7", "reason": "merged"}, "m/1.0.0: #7: merged"),
    "device-registered": ({"deviceId": "d-1", "by": "Ada", "reason": "new"}, "d-1, by Ada: new"),
    "device-accepted": ({"deviceId": "d-1", "by": "Ada", "reason": "seen"}, "d-1, by Ada: seen"),
    "device-labelled": ({"deviceId": "d-1", "by": "Ada", "reason": "moved"}, "d-1, by Ada: moved"),
    "device-revoked": ({"deviceId": "d-1", "by": "Ada", "reason": "stolen"}, "d-1, by Ada: stolen"),
    "captures-erased": ({"purpose": "glare", "by": "device", "count": 3}, "3 under glare, by device"),
    "key-used": ({"role": "tuf-targets", "subject": "2.targets.json"}, "tuf-targets key signs 2.targets.json"),
    "alerted": ({"alert": {"reason": "Halted"}, "key": "halted:m"}, "halted:m"),
    "alert-delivered": ({"key": "halted:m", "channel": "night"}, "halted:m"),
    "alert-given-up": ({"key": "halted:m", "channel": "night", "reason": "away"}, "halted:m: away"),
}


@pytest.mark.parametrize("event", EVENT_KINDS)
def test_every_event_has_a_line(event: str) -> None:
    """What it says, on one line without control characters."""
    body, line = BODIES[event]
    assert summary(event, body) == line


@pytest.mark.parametrize("event", EVENT_KINDS)
def test_a_body_that_says_nothing_has_a_line_too(event: str) -> None:
    """Rows of an older version may lack fields."""
    assert "\n" not in summary(event, {})


def test_an_event_of_a_newer_version_is_shown_and_filtered() -> None:
    """Under its own name."""
    row = {"sequence": 1, "at": "2026-01-01T00:00:00+00:00", "event": "new-thing", "body": {}, "digest": "d"}
    event = shown(row)
    assert (event["reason"], event["about"]) == ("new-thing", None)
    assert Filter().takes(event)
    assert not Filter(about=("alert",)).takes(event)

"""Whoever is told less, or at another place, has to have agreed: a channel that loses something is a weakening."""

from __future__ import annotations

from typing import Any

import pytest

from muster.check.weakening.channels import weakened_channels
from muster.kinds.channel import Channel
from muster.kinds.fleet import Fleet

HOOK = {"format": "webhook", "url": "https://hooks.example/in", "secret": {"environment": "MUSTER_ALERT_X"}}


def fleet(*channels: dict[str, Any]) -> Fleet:
    return Fleet.of(
        Channel.model_validate({"metadata": {"name": f"c{number}"}, "spec": {"target": HOOK, **spec}})
        for number, spec in enumerate(channels)
    )


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({}, {}, []),
        ({}, {"severities": ["info", "warning", "error"]}, []),
        ({}, {"severities": ["error"]}, ["channel-severities"]),
        ({}, {"reasons": ["ReleaseSuspended"]}, ["channel-reasons"]),
        ({"reasons": ["ReleaseSuspended"]}, {}, []),
        ({"owners": ["ml"]}, {"owners": ["ML", "qa"]}, []),
        ({"owners": ["ml"]}, {"owners": ["qa"]}, ["channel-owners"]),
        ({}, {"target": {**HOOK, "url": "https://elsewhere.example/"}}, ["channel-target"]),
    ],
    ids=str,
)
def test_what_tells_less_is_weaker(before: dict[str, Any], after: dict[str, Any], found: list[str]) -> None:
    """Severities, reasons, owners and the place; to tell more is none."""
    assert found == [one.what for one in weakened_channels(fleet(before), fleet(after))]


def test_a_channel_that_is_gone() -> None:
    """Gone is weaker, under another name it is not, and a new one is none."""
    assert [one.what for one in weakened_channels(fleet({}), fleet())] == ["channel"]
    assert list(weakened_channels(fleet({}), fleet({"severities": ["error"]}, {}))) == []
    assert list(weakened_channels(fleet(), fleet({}))) == []

"""Drift: which device runs what git never declared for it, and what is done; one rule set for both ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fleets import MODEL, make_class, make_fleet, make_release, pin
from muster.kinds.device_class import DeviceClass
from muster.plan.describe import release_pins
from muster.plan.drift import Runs, difference, keeps
from muster.plan.drifted import drift, rules_of, travels

OLD = make_release("1.0.0", {"fleet": "100%"})
NEW = make_release("1.1.0", {"canary": "100%"}, classes=("cam-day",))
NAMED = release_pins(make_fleet(OLD, NEW))
FOREIGN = pin("factory image")


def runs(release: Any = OLD, **changed: str) -> Runs:
    spec = release.spec
    reported = {"model_hash": spec.stages.quantized, "config_version": spec.config_version, "runtime_version": "1.31.1"}
    return Runs(**{**reported, **changed})


def a_class(action: str = "Correct", *rules: dict[str, Any]) -> DeviceClass:
    found = make_class("cam-day").model_dump(mode="json", by_alias=True, exclude_none=True)
    found["spec"] |= {"drift": action, "driftRules": [{"why": "known", **rule} for rule in rules]}
    return DeviceClass.model_validate_json(json.dumps(found))


def test_what_was_ever_declared_for_the_class_is_no_drift() -> None:
    """The newest, an old one that a device lags behind with, and nothing at all."""
    rules = rules_of(a_class(), MODEL, NAMED)
    assert [difference(rules, one) for one in (runs(OLD), runs(NEW), Runs(None, None, "1.31.1"))] == [None] * 3


@pytest.mark.parametrize(
    ("what", "field"),
    [
        (runs(model_hash=FOREIGN), "artifact"),
        (runs(config_version=FOREIGN), "configVersion"),
        (runs(runtime_version="1.30.0"), "runtimeVersion"),
    ],
    ids=["artifact", "config", "runtime"],
)
def test_what_differs_is_named(what: Runs, field: str) -> None:
    """And what is done: a runtime is not corrected, since nothing that is published could."""
    found = difference(rules_of(a_class(), MODEL, NAMED), what)
    assert found is not None
    assert (found.field, found.action) == (field, "Warn" if field == "runtimeVersion" else "Correct")


def test_what_was_declared_for_another_class_is_drift() -> None:
    """A board that was moved, or an image that was copied: 1.1.0 never went to cam-lowlight."""
    other = make_class("cam-lowlight")
    found = drift(make_fleet(OLD, NEW), NAMED, [("cam-lowlight", MODEL, runs(NEW)), ("cam-day", MODEL, runs(NEW))])
    assert [(one.device_class, one.difference.field) for one in found] == [("cam-lowlight", "artifact")]
    assert difference(rules_of(other, MODEL, NAMED), runs(NEW)) is not None


def test_what_is_not_declared_any_more_has_no_rules() -> None:
    """Devices of a class that is gone, or of another model."""
    seen = [("cam-gone", MODEL, runs(model_hash=FOREIGN)), ("cam-day", "other", runs(model_hash=FOREIGN))]
    assert drift(make_fleet(OLD), NAMED, seen) == ()


def test_the_first_rule_that_fits_decides() -> None:
    """By field and value; the class's own action where none fits."""
    ignored = {"field": "artifact", "action": "Ignore", "values": [FOREIGN]}
    rules = rules_of(a_class("Correct", ignored, {"field": "artifact", "action": "Warn"}), MODEL, NAMED)
    found = [difference(rules, runs(model_hash=digest)) for digest in (FOREIGN, pin("another"))]
    assert [(one.action, one.why) for one in found if one] == [("Ignore", "known"), ("Warn", "known")]
    config = difference(rules, runs(config_version=FOREIGN))
    assert config is not None
    assert config.action == "Correct"


@pytest.mark.parametrize(("action", "kept"), [("Correct", None), ("Warn", "Warn"), ("Ignore", "Ignore")])
def test_the_device_does_what_the_controller_says(action: str, kept: str | None) -> None:
    """It keeps what is ignored or warned of, and follows where it only lags, or where only its runtime differs."""
    rules = rules_of(a_class(action), MODEL, NAMED)
    assert keeps(rules, runs(model_hash=FOREIGN)) == kept
    assert keeps(rules, runs(OLD)) is None
    assert keeps(rules, runs(runtime_version="1.30.0")) is None


def test_only_rules_that_could_keep_something_travel() -> None:
    """Where everything is corrected, a document says what it always said."""
    assert not travels(rules_of(a_class(), MODEL, NAMED))
    assert not travels(rules_of(a_class("Correct", {"field": "runtimeVersion", "action": "Ignore"}), MODEL, NAMED))
    assert travels(rules_of(a_class("Warn"), MODEL, NAMED))
    assert travels(rules_of(a_class("Correct", {"field": "artifact", "action": "Ignore"}), MODEL, NAMED))


def test_a_record_of_before_says_nothing_about_classes() -> None:
    """What a former version of Muster kept is known for every class and every runtime."""
    kept = {name: {key: value for key, value in pins.items() if key != "runtimes"} for name, pins in NAMED.items()}
    rules = rules_of(make_class("cam-lowlight"), MODEL, kept)
    assert difference(rules, runs(NEW, runtime_version="1.0.0")) is None


def test_a_runtime_cannot_be_corrected() -> None:
    """The declaration is refused, with what would be right."""
    with pytest.raises(ValueError, match="write Warn or Ignore"):
        a_class("Warn", {"field": "runtimeVersion", "action": "Correct"})

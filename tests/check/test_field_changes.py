"""Which fields a change touches, by their names in YAML."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleets import MODEL, make_class, make_release
from muster.check.field_changes import changed_fields, touches
from reviewed_cases import make_base, make_case, with_inference, with_releases

OLD = make_release("1.0.0", {"fleet": "100%"})
NEW = make_release("1.1.0", {"fleet": "100%"}, supersedes="1.0.0")
BASE = make_base(OLD)
PATH = f"releases/{MODEL}/1.1.0.yaml"


def test_a_release_is_compared_with_what_it_supersedes():
    """What devices will notice: not that a file is new, but what is new in it."""
    assert not touches("spec.inference", changed_fields(make_case(BASE, with_releases(BASE, NEW)).change)[PATH])
    other = with_inference(NEW, confidence="70%")
    changed = changed_fields(make_case(BASE, with_releases(BASE, other)).change)[PATH]
    assert "spec.inference.thresholds.confidence" in changed


@pytest.mark.parametrize("supersedes", [None, "7.0.0"])
def test_the_first_release_touches_everything(supersedes):
    """So does one that supersedes what is not there."""
    first = make_release("1.1.0", {}, supersedes=supersedes)
    assert changed_fields(make_case(BASE, with_releases(BASE, first)).change) == {PATH: ("spec",)}


def test_device_classes_are_told_by_field():
    """Edited: the fields; added or removed: all of it; untouched or only described otherwise: nothing."""
    edited = make_class("cam-day", may_be_empty=True)
    described = BASE.device_classes[1].model_copy(
        update={"metadata": BASE.device_classes[1].metadata.model_copy(update={"description": "other"})}
    )
    head = replace(BASE, device_classes=(edited, described, make_class("cam-new")))
    assert changed_fields(make_case(BASE, head).change) == {
        "devices/classes/cam-day.yaml": ("spec.mayBeEmpty",),
        "devices/classes/cam-new.yaml": ("spec",),
    }


@pytest.mark.parametrize(
    ("field", "changed", "expected"),
    [
        ("spec.inference", "spec.inference", True),
        ("spec.inference", "spec.inference.output.labels", True),
        ("spec.inference", "spec", True),
        ("spec.inference", "spec.inferences", False),
        ("spec.inference", "spec.rollout.cohorts", False),
    ],
)
def test_touching(field, changed, expected):
    """A field is touched by itself, by what is in it and by what holds it; not by a name that begins alike."""
    assert touches(field, [changed]) == expected

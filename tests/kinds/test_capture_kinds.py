"""What can be declared about capture, what a record can say, and that nothing changes where nothing is declared."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from captured import CLASS, MODEL, SAMPLE, published, terms
from fleets import make_class
from muster.artifacts.tensors import DTYPES
from muster.kinds.canonical import canonical_json
from muster.kinds.capture import ELEMENTS, CaptureRecord
from muster.kinds.desired import DesiredDocument
from muster.kinds.device_class import DeviceClassSpec

DECLARED = {"purpose": "p", "model": MODEL, "statement": "Why.", "confidenceBelow": "60%"}


def read(*captures: dict[str, object]) -> DeviceClassSpec:
    """A class's spec as a file says it."""
    spec = make_class(CLASS).spec.model_dump(mode="json") | {"models": [MODEL], "capture": captures}
    return DeviceClassSpec.model_validate_json(json.dumps(spec))


def test_captures_are_read_and_written_alike() -> None:
    """Under the names that YAML has; what is left out is careful: unmetered and charging, and bounded."""
    (capture,) = read(DECLARED).capture
    written = json.loads(capture.model_dump_json())
    assert written.items() >= DECLARED.items()
    assert written["conditions"] == {"unmetered": True, "charging": True}
    assert tuple(written[name] for name in ("most", "size", "expiry", "keep")) == (200, "16MiB", "7d", "90d")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"confidenceBelow": None}, "nothing would be taken"),
        ({"size": "2GiB"}, "at most"),
        ({"size": "0B"}, "at least"),
        ({"expiry": "91d"}, "at most"),
        ({"expiry": "1s"}, "at least"),
        ({"keep": "731d"}, "at most"),
        ({"most": 10_001}, "less than or equal"),
        ({"statement": ""}, "at least 1"),
        ({"purpose": "../etc"}, "pattern"),
        ({"model": "other"}, "does not run other"),
    ],
)
def test_what_could_not_hold_is_refused(changed: dict[str, object], message: str) -> None:
    """With what is wrong, when it is read."""
    with pytest.raises(ValidationError, match=message):
        read(DECLARED | changed)


def test_a_purpose_stands_once_for_a_model() -> None:
    """Two declarations of one purpose would say two things to who consents."""
    with pytest.raises(ValidationError, match="stands twice"):
        read(DECLARED, DECLARED)


def test_a_document_without_captures_has_the_bytes_it_had() -> None:
    """Agents of before do not know the field."""
    document = published().documents[MODEL, CLASS]
    assert b"capture" not in canonical_json(document.model_dump(mode="json"))
    carried = published(terms()).documents[MODEL, CLASS]
    data = canonical_json(carried.model_dump(mode="json"))
    assert carried == DesiredDocument.model_validate_json(data)


@pytest.mark.parametrize(
    ("confidence", "corrected", "because"),
    [
        (0.59, None, "low-confidence"),
        (0.6, None, None),
        (float("nan"), None, "low-confidence"),
        (0.99, "8", "disagreement"),
        (0.1, "8", "disagreement"),
        (0.99, "7", None),
    ],
)
def test_what_is_taken(confidence: float, corrected: str | None, because: str | None) -> None:
    """Answers below the confidence, and answers that somebody corrected."""
    assert because == terms().reason(confidence, "7", corrected)


def record(**changes: object) -> dict[str, object]:
    return SAMPLE | {"shape": [8, 8]} | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 65},
        {"dtype": "float32"},
        {"dtype": "object"},
        {"shape": [8, -8]},
        {"shape": [2**62, 2**62]},
        {"shape": [0], "size": 0},
        {"release": "other/1.0.0"},
        {"locale": "de_DE; rm"},
        {"deviceId": "dev-1"},
        {"id": "../../etc/passwd"},
    ],
)
def test_a_record_that_does_not_fit_its_content_is_none(changes: dict[str, object]) -> None:
    """Element type, shape and size belong together, and there is no place for the device's name."""
    CaptureRecord.model_validate_json(json.dumps(record()))
    with pytest.raises(ValidationError):
        CaptureRecord.model_validate_json(json.dumps(record(**changes)))


def test_samples_have_the_element_types_of_snapshots() -> None:
    """One list of element types on both sides of the layers."""
    assert {name: np.dtype(code).itemsize for name, code in DTYPES.items()} == ELEMENTS

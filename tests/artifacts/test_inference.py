"""Frames to answers: the same on every CPU, and safe with whatever a camera delivers."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from muster.artifacts.golden import dump_expected, golden_difference, golden_inputs
from muster.artifacts.inference import answer, confident, normalize
from muster.artifacts.tensors import dump_tensors
from muster.kinds.errors import Refused, Unusable
from muster.kinds.release import InferenceInput, Thresholds


def _input(kind: str, divisor: str = "1", shape: list[int] | None = None) -> InferenceInput:
    return InferenceInput(name="x", shape=shape or [1, 2, 2], normalization={"kind": kind, "divisor": divisor})


FRAMES = np.array([[[0, 4], [8, 16]], [[0, 1], [2, 4]], [[0, 0], [0, 0]]], dtype=np.uint8)


def test_scale_keeps_the_contrast() -> None:
    """Every value is divided by the divisor."""
    expected = np.array([[0, 0.25, 0.5, 1], [0, 0.0625, 0.125, 0.25], [0, 0, 0, 0]], np.float32).reshape(3, 1, 2, 2)
    normal = normalize(FRAMES, _input("scale", "16"))
    assert normal.dtype == np.float32
    np.testing.assert_array_equal(expected, normal)


def test_stretch_takes_the_contrast_out() -> None:
    """Every frame reaches from zero to one, a dark one stays dark."""
    expected = np.array([[0, 0.25, 0.5, 1], [0, 0.25, 0.5, 1], [0, 0, 0, 0]], np.float32).reshape(3, 1, 2, 2)
    np.testing.assert_array_equal(expected, normalize(FRAMES, _input("stretch")))


@given(
    frames=hnp.arrays(st.sampled_from([np.float64, np.float32, np.int16, np.uint8, np.bool_]), (3, 2, 2)),
    kind=st.sampled_from(["scale", "stretch"]),
)
def test_any_frame_becomes_finite_numbers_or_is_refused(frames: np.ndarray, kind: str) -> None:
    """No infinity or NaN reaches the model, and nothing warns."""
    try:
        assert np.isfinite(normalize(frames, _input(kind, "0.001"))).all()
    except Refused:
        assert frames.dtype.kind == "f"


@pytest.mark.parametrize("frames", [np.zeros((3, 5)), np.zeros(()), np.array(["a"]), np.zeros((2, 2, 3))])
def test_frames_of_another_shape_are_refused(frames: np.ndarray) -> None:
    """The complaint shows both shapes."""
    with pytest.raises(Unusable, match="do not fit"):
        normalize(frames, _input("stretch"))


@pytest.mark.parametrize("divisor", ["0", "-1"])
def test_a_divisor_must_be_positive(divisor: str) -> None:
    """Division by zero is a mistake in the config, not in the frame."""
    with pytest.raises(Unusable, match="divisor"):
        normalize(FRAMES, _input("scale", divisor))


def test_no_frames_are_no_mistake() -> None:
    """An empty batch stays empty."""
    assert normalize(FRAMES[:0], _input("stretch")).shape == (0, 1, 2, 2)


def test_answer_is_the_best_label_with_its_score() -> None:
    """The first of equals wins; the threshold itself is confident; NaN is not."""
    index, confidence = answer(np.array([[0.1, 0.5, 0.4], [0.3, 0.3, 0.2], [np.nan, 0, 0]], np.float32))
    assert index.tolist() == [1, 0, 0]
    thresholds = Thresholds(confidence="50%", min_confident="60%")
    assert confident(confidence, thresholds).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([[0.9, 0.1]], None),
        ([[0.86, 0.14]], None),
        ([[0.84, 0.16]], "off by 0.06"),
        ([[0.1, 0.9]], "off by"),
        ([[np.nan, 0.9]], "finite"),
        ([[0.9, 0.05, 0.05]], "shape"),
    ],
)
def test_golden_expectation(scores: list[list[float]], why: str | None) -> None:
    """Scores within the tolerance hold; everything else is told with its reason."""
    difference = golden_difference(np.array(scores), dump_expected(np.array([[0.9, 0.1]])), Decimal("0.05"))
    assert (difference is None) if why is None else (difference is not None and why in difference)


def test_golden_label_must_hold_even_within_the_tolerance() -> None:
    """Two labels close to each other must not swap."""
    difference = golden_difference(np.array([[0.49, 0.51]]), dump_expected(np.array([[0.51, 0.49]])), Decimal("0.05"))
    assert difference is not None
    assert "another label" in difference


def test_a_golden_snapshot_needs_frames() -> None:
    """The complaint names what there is."""
    with pytest.raises(Unusable, match="frames"):
        golden_inputs(dump_tensors({"pictures": FRAMES}), _input("stretch"))

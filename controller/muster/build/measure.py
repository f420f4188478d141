"""The verify stage: the artifact's golden answers must hold in ONNX Runtime, and its accuracy is counted.

Counts are whole numbers; shares are derived from them where they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from muster.artifacts.golden import FRAMES, LABELS, golden_difference, golden_inputs, tensor_of
from muster.artifacts.inference import answer, confident, normalize
from muster.artifacts.tensors import Tensor
from muster.build.onnx_model import parse_model
from muster.build.onnx_runtime import Session
from muster.build.onnx_safety.admit import admit
from muster.build.shapes import Cost, cost_of
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.kinds.quantity import Decimal
    from muster.kinds.release import Inference


@dataclass(frozen=True)
class Answers:
    """How a model answered a snapshot: frames in it, right answers, answers above the confidence threshold."""

    frames: int
    right: int
    confident: int


@dataclass(frozen=True)
class Measurement:
    """Source model and artifact on the evaluation snapshot, with the cost of one frame."""

    source: Answers
    artifact: Answers
    source_cost: Cost
    artifact_cost: Cost
    model_size: int


def measure(
    *,
    source: bytes,
    quantized: bytes,
    golden: bytes,
    expected: bytes,
    evaluation: bytes,
    settings: tuple[Inference, Decimal],
) -> Measurement:
    """Load both models in ONNX Runtime and count. `settings`: inference config and golden tolerance.

    Raises `Refused` if the quantized model does not load or its golden answers do not hold.
    """
    inference, tolerance = settings
    session = Session(admit(quantized))
    scores = session.run(inference.input.name, golden_inputs(golden, inference.input))
    if difference := golden_difference(scores, expected, tolerance):
        raise Refused(
            f"golden run: {difference}", "the runtime computes something else than the reference: widen nothing, look"
        )
    return Measurement(
        source=count_answers(Session(admit(source)), evaluation, inference),
        artifact=count_answers(session, evaluation, inference),
        source_cost=cost_of(parse_model(source)),
        artifact_cost=cost_of(parse_model(quantized)),
        model_size=len(quantized),
    )


def count_answers(session: Session, snapshot: bytes, inference: Inference) -> Answers:
    """How a session answers a snapshot with `frames` and `labels`. Raises `Unusable`."""
    frames, labels = labelled(snapshot, inference)
    found, confidence = answer(session.run(inference.input.name, normalize(frames, inference.input)))
    return Answers(
        frames=len(frames),
        right=int((found == labels).sum()),
        confident=int(confident(confidence, inference.thresholds).sum()),
    )


def labelled(snapshot: bytes, inference: Inference) -> tuple[Tensor, Tensor]:
    """Raw frames and their labels, which fit the config. Raises `Unusable`."""
    frames, labels = tensor_of(snapshot, FRAMES), tensor_of(snapshot, LABELS)
    _check_labels(frames, labels, len(inference.output.labels))
    return frames, labels


def _check_labels(frames: Tensor, labels: Tensor, count: int) -> None:
    fits = labels.dtype == np.int64 and labels.shape == frames.shape[:1] and len(labels)
    if not fits or labels.min() < 0 or labels.max() >= count:
        raise Unusable(
            f"labels {labels.shape} of type {labels.dtype} fit neither {len(frames)} frames nor {count} names",
            "a snapshot holds one int64 label per frame, an index into the config's labels",
        )

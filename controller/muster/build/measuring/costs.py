"""What can be counted without running anything: sizes, multiply-accumulates, and how the snapshots relate."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from muster.artifacts.golden import FRAMES, tensor_of
from muster.build.measuring.frames import repeated
from muster.build.measuring.numbers import exact
from muster.build.measuring.subject import Candidate, Subject
from muster.build.onnx_model import parse_model
from muster.build.shapes import cost_of
from muster.kinds.evidence import Result


def cost_results(subject: Subject) -> Iterator[Result]:
    """Artifact size, inference cost, calibration samples and overlap. Raises `Refused`, `Unusable`."""
    yield Result(
        metric="artifact-size",
        value=Decimal(subject.artifact.size),
        baselines=tuple(item.baseline(Decimal(item.size)) for item in subject.others),
    )
    yield Result(
        metric="inference-cost",
        value=_operations(subject.artifact),
        baselines=tuple(item.baseline(_operations(item)) for item in subject.others),
    )
    yield Result(metric="calibration-samples", value=Decimal(len(tensor_of(subject.calibration, FRAMES))))
    again, frames = repeated(subject.evaluation, subject.calibration)
    share = exact(again / frames) if frames else Decimal(0)
    yield Result(metric="calibration-overlap", value=share, samples=frames, successes=again)


def _operations(candidate: Candidate) -> Decimal:
    return Decimal(cost_of(parse_model(candidate.model)).operations)

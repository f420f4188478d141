"""How well an artifact answers: accuracy, per slice, across slices, and on perturbed frames.

Every candidate sees the same frames, on the same CPU. Beside each share stand the paired counts: frames that both, only
the artifact, or only the baseline got right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from muster.artifacts.inference import Float32, answer, normalize
from muster.artifacts.tensors import Tensor
from muster.build.measure import labelled
from muster.build.measuring.frames import CLEAN, Mask, slices_of, variants
from muster.build.measuring.numbers import CONFIDENCE, share_of
from muster.build.measuring.scoring import Job, Score, scores_here
from muster.build.measuring.speed import Place
from muster.build.measuring.subject import Candidate, Subject
from muster.build.onnx_runtime import CPU
from muster.kinds.evidence import Baseline, Result

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Panel:
    """All candidates, and where and how they are run."""

    subject: Subject
    place: Place | None
    score: Score

    def right(self, frames: Tensor, labels: Tensor) -> dict[str, dict[str, Right]]:
        """Which frames each candidate reads right, by variant of the frames, then by its role."""
        names = np.array(self.subject.artifact.inference.output.labels)[labels]
        shown = variants(frames)
        scores = self.score({item.role: self._job(item, shown) for item in self.subject.candidates})
        return {
            variant: {item.role: _right(item, scores[item.role][variant], names) for item in self.subject.candidates}
            for variant in shown
        }

    def _job(self, candidate: Candidate, shown: Mapping[str, Tensor]) -> Job:
        provider = self.place.providers[candidate.role] if self.place else CPU
        config = candidate.inference.input
        inputs = {variant: normalize(frames, config) for variant, frames in shown.items()}
        return Job(candidate.model, provider, config.name, len(candidate.inference.output.labels), inputs)


def answer_results(subject: Subject, place: Place | None = None, score: Score | None = None) -> Iterator[Result]:
    """Accuracy as a whole and per slice, the fairness gap, and robustness. Raises `Refused`, `Unusable`.

    With `place` they are results of its class. `score` runs the models; by default this process does.
    """
    frames, labels = labelled(subject.evaluation, subject.artifact.inference)
    panel = _Panel(subject, place, score or scores_here)
    found = panel.right(frames, labels)
    right = found.pop(CLEAN)
    everything = np.ones(len(labels), dtype=np.bool_)
    whole = _result(subject, "accuracy", None, right, everything)
    per_slice = [
        _result(subject, "accuracy", name, right, mask) for name, mask in slices_of(subject.evaluation).items()
    ]
    under = [_result(subject, "robustness", name, changed, everything) for name, changed in found.items()]
    worst = min(under, key=lambda result: result.value).model_copy(update={"slice": None})
    of_class = {"device_class": place.device_class if place else None}
    for result in (whole, *per_slice, _gap(subject, per_slice), *under, worst):
        yield result.model_copy(update=of_class)


def _right(candidate: Candidate, scores: Float32, names: npt.NDArray[np.str_]) -> Right:
    found, _ = answer(scores)
    # By name: another release may list its labels in another order.
    return np.asarray(np.array(candidate.inference.output.labels)[found] == names, dtype=np.bool_)


def _result(
    subject: Subject,
    metric: Literal["accuracy", "robustness"],
    name: str | None,
    right: Mapping[str, Right],
    mask: Mask,
) -> Result:
    mine = right["artifact"][mask]
    share = share_of(int(mine.sum()), len(mine))
    return Result(
        metric=metric,
        value=share.value,
        slice=name,
        samples=share.samples,
        successes=int(mine.sum()),
        lower=share.lower,
        upper=share.upper,
        confidence=CONFIDENCE,
        baselines=tuple(_baseline(item, mine, right[item.role][mask]) for item in subject.others),
    )


def _baseline(candidate: Candidate, mine: Right, other: Right) -> Baseline:
    pairs = (int((mine & other).sum()), int((mine & ~other).sum()), int((other & ~mine).sum()))
    return candidate.baseline(share_of(int(other.sum()), len(other)).value, pairs)


def _gap(subject: Subject, per_slice: list[Result]) -> Result:
    """The largest accuracy of a slice less the smallest, and that of each baseline."""
    values = [result.value for result in per_slice]
    baselines = []
    for number, candidate in enumerate(subject.others):
        others = [result.baselines[number].value for result in per_slice]
        baselines.append(candidate.baseline(max(others) - min(others)))
    fewest = min(result.samples or 0 for result in per_slice)
    return Result(metric="fairness-gap", value=max(values) - min(values), samples=fewest, baselines=tuple(baselines))

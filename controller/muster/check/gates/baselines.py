"""What a release is compared with: its source model, or the release that it supersedes.

Which release that is, is no free choice: one that is new must name the newest that devices run, so that nobody compares
with an old and bad one. The first release of a model has nothing to be worse than.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from muster.check.gates.question import Answer, Question
from muster.check.gates.reading import Reading, shown
from muster.check.gates.results import ROUNDING, count_of, reading_of
from muster.check.gates.shares import CONFIDENCE, Interval, Paired, ratio_interval
from muster.kinds.digest import version_key
from muster.kinds.evidence import Baseline, Ratio, Result
from muster.kinds.release import Release


def superseded_release(question: Question) -> Release | Answer:
    """The release to compare with; or the answer, where there is none."""
    release, ground = question.release, question.ground
    others = [other for other in ground.models.get(release.model, ()) if _goes_there_too(other, release)]
    older = [other for other in others if version_key(other.version) < version_key(release.version)]
    version = release.spec.supersedes
    if version is None:
        return _superseding_nothing(question, others, older)
    if running := _passed_over(question, older, version):
        return Answer(
            "fail",
            f"{release.name} supersedes {version}, although devices run {running.version}",
            f"write supersedes: {running.version}, and measure against it",
        )
    name = f"{release.model}/{version}"
    return ground.releases.get(name) or Answer(
        "error", f"{name}, which {release.name} supersedes, is not declared", f"declare {name}"
    )


def _superseding_nothing(question: Question, others: list[Release], older: list[Release]) -> Answer:
    name = question.release.name
    if older:
        return Answer(
            "fail",
            f"{name} supersedes nothing, although {older[0].name} goes to the same device classes",
            f"write supersedes: {older[0].version}",
        )
    running = next((other for other in others if other.spec.rollout.reaches_any), None)
    if running is not None and _is_added(question):
        # Devices would get it once what runs now is taken back, and a rollback is not asked how good that is.
        return Answer(
            "fail",
            f"{name} is new, and older than {running.name}, which devices run",
            f"give it a version above {running.version}, supersede that, and measure against it",
        )
    return Answer("pass", f"{name} is the first release of its model: nothing can be worse than before")


def baseline_reading(
    question: Question, of: Literal["source", "superseded"], result: Result, path: str
) -> Reading | Answer:
    """The result over its baseline."""
    digest = _digest(question, of)
    if isinstance(digest, Answer):
        return digest
    baselines = [baseline for baseline in result.baselines if baseline.of == of]
    if not baselines:
        return Answer("fail", f"{path} does not compare {result.metric} with the {of}'s", evidence=path)
    problem = "two baselines" if len(baselines) > 1 else _problem(question, baselines[0], result, digest)
    if problem:
        return Answer("error", f"{path}: {result.metric} against the {of}'s: {problem}", evidence=path)
    return _over(question, result, baselines[0], path)


def _digest(question: Question, of: Literal["source", "superseded"]) -> str | Answer:
    if of == "source":
        return question.release.spec.source.digest
    found = superseded_release(question)
    return found if isinstance(found, Answer) else found.spec.artifact.digest


def _goes_there_too(other: Release, release: Release) -> bool:
    return other.name != release.name and bool(_classes(other) & _classes(release))


def _classes(release: Release) -> set[str]:
    return {runtime.device_class for runtime in release.spec.runtimes}


def _passed_over(question: Question, older: list[Release], version: str) -> Release | None:
    """The newest older release in the field, if `version` is another; only where the pins can still be changed."""
    if not _is_added(question):
        return None
    running = next((other for other in older if other.spec.rollout.reaches_any), None)
    return running if running is not None and running.version != version else None


def _is_added(question: Question) -> bool:
    return question.release.name in question.ground.added


def _problem(question: Question, baseline: Baseline, result: Result, digest: str) -> str | None:
    if baseline.digest != digest:
        return f"the baseline is {baseline.digest}, not {digest}"
    if baseline.value <= 0:
        return "the baseline is not above 0"
    if question.kind.share:
        return next(_share_problems(baseline, result), None)
    return "a ratio that its own bounds do not hold" if baseline.ratio and not _holds(baseline.ratio) else None


def _holds(ratio: Ratio) -> bool:
    return 0 <= (ratio.lower or 0) <= ratio.value <= (ratio.value if ratio.upper is None else ratio.upper)


def _share_problems(baseline: Baseline, result: Result) -> Iterator[str]:
    count, paired = count_of(result), _paired(baseline)
    if baseline.value > 1:
        yield "the baseline is a share, and more than 1"
    if paired is None or count is None:
        return
    if paired.this != count.hits:
        yield f"the paired counts add up to {paired.this} right answers, not {count.hits}"
    if paired.both + paired.only_this + paired.only_baseline > count.total:
        yield f"the paired counts are of more than {count.total} frames"
    if abs(baseline.value - Decimal(paired.baseline) / count.total) > ROUNDING:
        yield f"the baseline is not {paired.baseline} of {count.total}"


def _over_pairs(reading: Reading, baseline: Baseline, words: str) -> Reading:
    """The ratio of pairs where there is one: it holds still where both values move with the machine."""
    ratio = baseline.ratio
    if ratio is None:
        return reading.over(baseline.value, words)
    bounds = None
    if ratio.lower is not None and ratio.confidence is not None and CONFIDENCE <= ratio.confidence < 1:
        bounds = Interval(ratio.lower, ratio.upper)
    return replace(reading.ratio(baseline.value, bounds, f"{words}, in pairs"), value=ratio.value)


def _paired(baseline: Baseline) -> Paired | None:
    if baseline.both is None or baseline.only_this is None or baseline.only_baseline is None:
        return None
    return Paired(baseline.both, baseline.only_this, baseline.only_baseline)


def _over(question: Question, result: Result, baseline: Baseline, path: str) -> Reading:
    reading = reading_of(result, question.kind, path)
    words = f"the {baseline.of}'s {shown(baseline.value, question.kind.dimension)}"
    if question.kind.interval != "counts":
        return _over_pairs(reading, baseline, words)
    paired, count = _paired(baseline), count_of(result)
    exact = Decimal(paired.baseline) / count.total if paired and count and paired.baseline else baseline.value
    bounds: Interval | None = ratio_interval(paired) if paired and count else None
    return reading.ratio(exact, bounds, words)

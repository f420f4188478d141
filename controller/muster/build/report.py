"""The build report as data: what came out, what it costs, how well it answers. Rendered by `report_text`.

Predicted latency of one frame on a device class, before any device has run it:
max(operations / multiplyAccumulates, bytes / memory) + overhead, with the rates that the class declares.
Worked example: 2,000,000 operations at 2G/s are 1000 us, 3,000,000 bytes at 1G/s are 3000 us, overhead 60us: 3060us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from muster.build.measure import Answers, Measurement
from muster.build.pipeline import BuildResult, pins_of
from muster.build.shapes import Cost
from muster.kinds.device_class import DeviceClass, Rates
from muster.kinds.release import Artifact, Release

FORMULA: Final = "max(operations / multiplyAccumulates, bytes / memory) + overhead"
_MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Surroundings:
    """What a report compares with: declared device classes by name, and the artifact that is superseded."""

    device_classes: Mapping[str, DeviceClass]
    superseded: tuple[str, Artifact] | None = None


def predicted_microseconds(cost: Cost, rates: Rates) -> int:
    """Predicted latency of one frame, in whole microseconds, each term rounded up."""
    operations = -(-cost.operations * _MICROSECONDS // max(1, rates.multiply_accumulates))
    memory = -(-cost.bytes * _MICROSECONDS // max(1, rates.memory))
    return max(operations, memory) + rates.overhead


def build_report(release: Release, result: BuildResult, around: Surroundings) -> dict[str, Any]:
    """Everything about a build as JSON. `reason` says why it is not as declared, or is None."""
    measured = result.measurement
    return {
        "release": release.name,
        "artifact": {"digest": result.artifact.digest, "size": result.artifact.size},
        "identical": result.difference is None,
        "firstDifference": result.difference,
        "reason": _reason(release, result),
        "outputs": [
            {"output": name, "pinned": pinned, "found": found, "identical": pinned == found}
            for (name, pinned), (_, found) in zip(pins_of(release).in_order(), result.outputs.in_order(), strict=True)
        ],
        "size": _sizes(release, result, around),
        "operators": {
            "source": dict(measured.source_cost.operators),
            "artifact": dict(measured.artifact_cost.operators),
        },
        "parameters": {
            "source": measured.source_cost.parameters,
            "artifact": measured.artifact_cost.parameters,
        },
        "accuracy": {
            "snapshot": release.spec.snapshots.evaluation,
            "source": _answers(measured.source),
            "artifact": _answers(measured.artifact),
        },
        "latency": _latency(release, measured, around),
        "stages": [
            {"stage": stage.stage, "digest": stage.digest, "cached": stage.cached, "seconds": round(stage.seconds, 3)}
            for stage in result.stages
        ],
    }


def _reason(release: Release, result: BuildResult) -> str | None:
    if result.difference is None:
        return None
    name = result.difference
    pinned, found = getattr(pins_of(release), name), getattr(result.outputs, name)
    return f"{release.name} does not rebuild: the first difference is {name}: pinned {pinned}, found {found}"


def _sizes(release: Release, result: BuildResult, around: Surroundings) -> dict[str, Any]:
    source, size = release.spec.source.size, result.artifact.size
    superseded = None
    if around.superseded is not None:
        name, artifact = around.superseded
        superseded = {"release": name, "bytes": artifact.size, "change": _change(artifact.size, size)}
    return {
        "source": source,
        "model": result.measurement.model_size,
        "modelChange": _change(source, result.measurement.model_size),
        "artifact": size,
        "superseded": superseded,
    }


def _change(before: int, after: int) -> str:
    """Signed, in tenths of a percent of `before`: 200 to 150 is -25.0%."""
    tenths = (after - before) * 1_000
    rounded = (abs(tenths) * 2 + before) // (2 * before)
    return f"{'-' if tenths < 0 else '+'}{rounded // 10}.{rounded % 10}%"


def _answers(answers: Answers) -> dict[str, Any]:
    return {
        "frames": answers.frames,
        "right": answers.right,
        "share": _share(answers.right, answers.frames),
        "confident": answers.confident,
        "confidentShare": _share(answers.confident, answers.frames),
    }


def _share(part: int, whole: int) -> str:
    hundredths = (part * 20_000 + whole) // (2 * whole)
    return f"{hundredths // 100}.{hundredths % 100:02}%"


def _latency(release: Release, measured: Measurement, around: Surroundings) -> dict[str, Any]:
    classes = []
    for runtime in release.spec.runtimes:
        declared = around.device_classes.get(runtime.device_class)
        rates = declared.spec.rates if declared else None
        classes.append(
            {
                "deviceClass": runtime.device_class,
                "provider": runtime.provider,
                "sourceMicroseconds": predicted_microseconds(measured.source_cost, rates) if rates else None,
                "artifactMicroseconds": predicted_microseconds(measured.artifact_cost, rates) if rates else None,
                "budgetMicroseconds": declared.spec.budgets.p95_latency if declared else None,
            }
        )
    return {
        "formula": FORMULA,
        "operations": {"source": measured.source_cost.operations, "artifact": measured.artifact_cost.operations},
        "bytes": {"source": measured.source_cost.bytes, "artifact": measured.artifact_cost.bytes},
        "classes": classes,
    }

"""Answers from declarations alone: the pinned size, and whether a device class can run the artifact."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from muster.check.gates.baselines import superseded_release
from muster.check.gates.compare import compared
from muster.check.gates.question import Answer, Question, undeclared_class
from muster.check.gates.reading import Reading, shown
from muster.kinds.device_class import DeviceClass
from muster.kinds.release import Release, ReleaseRuntime
from muster.kinds.runtimes import INSTRUCTION_SETS, Loadable, loadable


def artifact_size(question: Question) -> Answer:
    """The pinned size; the build proved that the artifact has it."""
    baseline = _size_to_compare_with(question)
    if isinstance(baseline, Answer):
        return baseline
    reading = Reading(Decimal(question.release.spec.artifact.size), "size")
    if baseline is not None:
        of = {"budget": "the budget of "}.get(question.gate.relative_to, f"the {question.gate.relative_to}'s ")
        reading = reading.over(baseline, of + shown(baseline, "size"))
    return compared(question, reading).hinting("quantize more operators, or prune the model")


def _size_to_compare_with(question: Question) -> Decimal | Answer | None:
    match question.gate.relative_to:
        case "budget":
            budget = question.budget()
            return undeclared_class(question) if budget is None else budget
        case "source":
            return Decimal(question.release.spec.source.size)
        case "superseded":
            found = superseded_release(question)
            return found if isinstance(found, Answer) else Decimal(found.spec.artifact.size)
        case _:
            return None


def compatibility(question: Question) -> Answer:
    """Can the class run it? By the class as it will be once the change is merged."""
    assert question.device_class is not None
    device_class = question.declared_class(question.device_class)
    runtime = question.release.runtime_for(question.device_class)
    if device_class is None or runtime is None:
        return undeclared_class(question)
    known = loadable(device_class.spec.runtime.version)
    if known is None:
        version = f"{device_class.spec.runtime.name} {device_class.spec.runtime.version}"
        return Answer(
            "error",
            f"{device_class.metadata.name}: nobody has asked yet what {version} loads",
            "ask it, and add what it says to muster/kinds/runtimes.py; or give the class a version that stands there",
        )
    if unknown := [name for name in device_class.spec.isa if name not in INSTRUCTION_SETS]:
        return Answer(
            "error",
            f"{device_class.metadata.name}: instruction set {unknown[0]} is not known",
            f"write one of {', '.join(sorted(INSTRUCTION_SETS))}",
        )
    problems = list(_problems(question.release, runtime, device_class, known))
    spec, onnx = device_class.spec, question.release.spec.onnx
    words = "; ".join(problems) or (
        f"opset {onnx.opset} and IR {onnx.ir} on {spec.runtime.name} {spec.runtime.version}, {runtime.provider}, "
        f"{spec.os.name} {', '.join(spec.os.versions)}, {', '.join(spec.isa)}"
    )
    return compared(question, Reading(Decimal(0 if problems else 1), "number", about=f" ({words})")).hinting(
        f"make a release for what {device_class.metadata.name} has"
    )


def _problems(release: Release, runtime: ReleaseRuntime, device_class: DeviceClass, known: Loadable) -> Iterator[str]:
    has, onnx = device_class.spec.runtime, release.spec.onnx
    if (runtime.name, runtime.version) != (has.name, has.version):
        yield f"it has {has.name} {has.version}, the release is for {runtime.name} {runtime.version}"
    if runtime.provider not in has.providers:
        yield f"it has no {runtime.provider}"
    if not known.least_opset <= onnx.opset <= known.most_opset:
        yield f"its runtime loads opsets {known.least_opset} to {known.most_opset}, the artifact has {onnx.opset}"
    if onnx.ir > known.most_ir:
        yield f"its runtime loads IR versions up to {known.most_ir}, the artifact has {onnx.ir}"
    yield from _saturation(release, runtime, device_class)


def _saturation(release: Release, runtime: ReleaseRuntime, device_class: DeviceClass) -> Iterator[str]:
    """Without 8-bit dot products, x86 adds pairs of products in 16 bits: 8-bit weights overflow, 7-bit do not."""
    sets = [INSTRUCTION_SETS[name] for name in device_class.spec.isa]
    x86 = [one for one in sets if one.family == "x86"]
    narrow = bool(x86) and not any(one.dot_products for one in x86)
    if narrow and runtime.provider == "CPUExecutionProvider" and release.spec.recipe.quantize.saturates:
        yield f"on {', '.join(device_class.spec.isa)} 8-bit weights saturate: quantize with reduceRange: true"

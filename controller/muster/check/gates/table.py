"""GATE_KINDS: of every metric what it is about, what answers it, and how to satisfy it. Data, read by nobody's hand.

The documents (docs/gates.md), the complaints about gates that mean nothing (`declared`), and the answers (`decide`) all
go by this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from muster.check.gates.gate_kind import ON_CLASS, GateKind
from muster.kinds.policy import GateMetric


def _example(**fields: str | int) -> Mapping[str, str | int]:
    return MappingProxyType(fields)


_ANY_MACHINE = (
    "Run the command on a machine with the instruction set and the runtime of the class. A figure from another class "
    "does not count. "
)
_TIME = (
    "A time counts as it is where the agent of a reference device took it: `muster measure RELEASE --class CLASS --job "
    "JOB` writes what there is to run, `muster agent measure` runs it there, and `--from` takes what it recorded. "
    "Elsewhere only a ratio counts, `relativeTo: superseded` or `source`: the artifacts take turns in one run. "
)

GATE_KINDS: Final[Mapping[GateMetric, GateKind]] = MappingProxyType(
    {
        "accuracy": GateKind(
            title="Accuracy",
            says="The share of frames of the evaluation snapshot that the artifact reads right, or that share over the "
            "source model's or the superseded release's. Both read the same frames, so the bound is that of a paired "
            "comparison.",
            reads="measurement",
            dimension="number",
            better="more",
            scope="asked",
            relative_to=("absolute", "source", "superseded"),
            interval="counts",
            share=True,
            sliced=True,
            snapshots=("evaluation",),
            most="1",
            answers=True,
            satisfy="Measure, commit the file, and if it fails: widen the calibration snapshot, quantize per channel, "
            "leave the most sensitive operator in full precision, or train again. If it is inconclusive, the snapshot "
            "is too small to tell: take a larger one. A gate with `slice` holds one slice of the snapshot to it.",
            example=_example(
                name="accuracy-kept",
                metric="accuracy",
                comparator=">=",
                threshold="0.98",
                relativeTo="source",
                minSamples=250,
                bound="lower",
            ),
        ),
        "p50-latency": GateKind(
            title="Median latency",
            says="The time in which half of the answers are there, on a device of the class.",
            reads="measurement",
            dimension="time",
            better="less",
            scope="class",
            relative_to=("absolute", "source", "superseded", "budget"),
            interval="evidence",
            budget="p95_latency",
            timed=True,
            command=ON_CLASS,
            satisfy=_TIME + "The budget is the class's `p95Latency`: half of it is a usual median.",
            example=_example(
                name="median-fast-enough",
                metric="p50-latency",
                comparator="<=",
                threshold="0.5",
                relativeTo="budget",
                minSamples=200,
            ),
        ),
        "p95-latency": GateKind(
            title="95th percentile of latency",
            says="The time in which 95 of 100 answers are there, on a device of the class.",
            reads="measurement",
            dimension="time",
            better="less",
            scope="class",
            relative_to=("absolute", "source", "superseded", "budget"),
            interval="evidence",
            budget="p95_latency",
            timed=True,
            command=ON_CLASS,
            satisfy=_TIME + "The budget is the class's `p95Latency`.",
            example=_example(
                name="fast-enough",
                metric="p95-latency",
                comparator="<=",
                threshold="1",
                relativeTo="budget",
                minSamples=200,
                bound="upper",
            ),
        ),
        "p99-latency": GateKind(
            title="99th percentile of latency",
            says="The time in which 99 of 100 answers are there, on a device of the class.",
            reads="measurement",
            dimension="time",
            better="less",
            scope="class",
            relative_to=("absolute", "source", "superseded", "budget"),
            interval="evidence",
            budget="p95_latency",
            timed=True,
            command=ON_CLASS,
            satisfy=_TIME + "The budget is the class's `p95Latency`: twice that is a usual bound of the tail.",
            example=_example(
                name="no-long-tail",
                metric="p99-latency",
                comparator="<=",
                threshold="2",
                relativeTo="budget",
                minSamples=500,
            ),
        ),
        "cold-latency": GateKind(
            title="Cold latency",
            says="The median time of the first answer of a session that was just opened, on a device of the class.",
            reads="measurement",
            dimension="time",
            better="less",
            scope="class",
            relative_to=("absolute", "source", "superseded", "budget"),
            interval="evidence",
            budget="load_time",
            timed=True,
            command=ON_CLASS,
            satisfy=_TIME + "The budget is the class's `loadTime`.",
            example=_example(
                name="first-answer-in-time", metric="cold-latency", comparator="<=", threshold="1", relativeTo="budget"
            ),
        ),
        "peak-ram": GateKind(
            title="Peak RAM",
            says="The most memory that the runtime's process held while it loaded and ran the artifact.",
            reads="measurement",
            dimension="size",
            better="less",
            scope="class",
            relative_to=("absolute", "source", "superseded", "budget"),
            interval="evidence",
            budget="peak_ram",
            command=ON_CLASS,
            satisfy=_ANY_MACHINE + "The budget is the class's `peakRam`.",
            example=_example(
                name="fits-in-memory", metric="peak-ram", comparator="<=", threshold="1", relativeTo="budget"
            ),
        ),
        "load-time": GateKind(
            title="Load time",
            says="The time from the bytes of the artifact to a session that can answer, on a device of the class.",
            reads="measurement",
            dimension="time",
            better="less",
            scope="class",
            relative_to=("absolute", "source", "superseded", "budget"),
            interval="evidence",
            budget="load_time",
            timed=True,
            command=ON_CLASS,
            satisfy=_TIME + "The budget is the class's `loadTime`.",
            example=_example(
                name="loads-in-time", metric="load-time", comparator="<=", threshold="1", relativeTo="budget"
            ),
        ),
        "artifact-size": GateKind(
            title="Artifact size",
            says="The pinned size of the artifact: what a device stores for each release that it keeps.",
            reads="size",
            dimension="size",
            better="less",
            scope="budget",
            relative_to=("absolute", "source", "superseded", "budget"),
            samples=False,
            budget="storage",
            command="",
            satisfy="The release's own pin answers, no evidence is needed. Quantize more operators, or prune the "
            "model. The budget is the class's `storage`.",
            example=_example(
                name="fits-the-device", metric="artifact-size", comparator="<=", threshold="1", relativeTo="budget"
            ),
        ),
        "package-size": GateKind(
            title="Package size",
            says="What a device downloads for a release: the artifact and all that comes with it.",
            reads="measurement",
            dimension="size",
            better="less",
            scope="budget",
            relative_to=("absolute", "superseded", "budget"),
            interval="evidence",
            budget="storage",
            satisfy="Measure, and commit the file. The budget is the class's `storage`.",
            example=_example(name="download-bounded", metric="package-size", comparator="<=", threshold="4MiB"),
        ),
        "fairness-gap": GateKind(
            title="Fairness gap",
            says="The largest minus the smallest accuracy over all slices of the evaluation snapshot.",
            reads="slices",
            dimension="number",
            better="less",
            scope="asked",
            interval="counts",
            share=True,
            snapshots=("evaluation",),
            most="1",
            answers=True,
            satisfy="The evaluation snapshot must name the slice of each frame, at least two slices, each with "
            "`minSamples` frames. If it fails, add what the worst slice holds to training and calibration.",
            example=_example(
                name="no-slice-left-behind", metric="fairness-gap", comparator="<=", threshold="0.1", minSamples=40
            ),
        ),
        "robustness": GateKind(
            title="Robustness",
            says="Accuracy on inputs that were disturbed in the way that the evidence states; or that over the "
            "artifact's own on clean inputs, or over the source model's or the superseded release's on disturbed ones.",
            reads="measurement",
            dimension="number",
            better="more",
            scope="asked",
            relative_to=("absolute", "clean", "source", "superseded"),
            interval="counts",
            share=True,
            sliced=True,
            snapshots=("evaluation",),
            most="1",
            answers=True,
            satisfy="Measure, and commit the file. If it fails, train with disturbed inputs. A gate with `slice` holds "
            "one slice, or one kind of disturbance, to it.",
            example=_example(
                name="stands-noise",
                metric="robustness",
                comparator=">=",
                threshold="0.9",
                relativeTo="clean",
                minSamples=250,
            ),
        ),
        "calibration-samples": GateKind(
            title="Calibration samples",
            says="How many frames the calibration snapshot holds.",
            reads="measurement",
            dimension="number",
            better="more",
            scope="release",
            samples=False,
            snapshots=("calibration",),
            satisfy="Cut a calibration snapshot with more frames, and build again.",
            example=_example(
                name="calibrated-on-enough", metric="calibration-samples", comparator=">=", threshold="100"
            ),
        ),
        "calibration-overlap": GateKind(
            title="Calibration overlap",
            says="The share of the evaluation frames that stand in the calibration snapshot too, by content.",
            reads="measurement",
            dimension="number",
            better="less",
            scope="release",
            share=True,
            snapshots=("calibration", "evaluation"),
            most="1",
            satisfy="Cut disjoint snapshots: what calibrated a model cannot judge it.",
            example=_example(name="judged-on-unseen", metric="calibration-overlap", comparator="==", threshold="0"),
        ),
        "soak": GateKind(
            title="Soak",
            says="How long the artifact answered its golden inputs, over and over, on a device of the class, before an "
            "answer was wrong or the time was up.",
            reads="measurement",
            dimension="time",
            better="more",
            scope="class",
            command="muster measure {path} --class {device_class} --soak {threshold} --key KEY",
            satisfy="Run the command on a device of the class, and leave the device alone for as long. Samples are the "
            "answers. If it fails, the device says when: look for heat, and for memory that is not given back.",
            example=_example(name="soaked", metric="soak", comparator=">=", threshold="24h", minSamples=100_000),
        ),
        "compatibility": GateKind(
            title="Compatibility",
            says="1 if the device class can run the artifact, 0 if not: runtime, its version, provider, opset and IR "
            "version, and quantization that its instruction sets do not saturate.",
            reads="compatibility",
            dimension="number",
            better="more",
            scope="class",
            samples=False,
            most="1",
            command="",
            satisfy="Declarations answer, without evidence. Make a release for the runtime that the class has, and "
            "export the source in an opset that this runtime loads. A runtime version that nobody has asked yet is an "
            "error: ask it, and add it to `controller/muster/kinds/runtimes.py`.",
            example=_example(name="runs-there", metric="compatibility", comparator="==", threshold="1"),
        ),
        "delegate-active": GateKind(
            title="Delegate active",
            says="The share of the graph's nodes that ran on the provider that the release declares for the class: "
            "below 1, the runtime fell back to the CPU without a word.",
            reads="measurement",
            dimension="number",
            better="more",
            scope="class",
            share=True,
            most="1",
            command=ON_CLASS,
            satisfy=_ANY_MACHINE
            + "If nodes fall back, leave out of the graph what the provider does not run, or declare "
            "the provider that really runs it.",
            example=_example(name="no-silent-fallback", metric="delegate-active", comparator="==", threshold="1"),
        ),
        "reproducibility": GateKind(
            title="Reproducibility",
            says="The level that rebuilds prove. 1: identical bytes from the pinned calibration table. 2: identical "
            "bytes although the table was calibrated again. 3: identical bytes by `agreeing` signers (2, if it is not "
            "said) of those that `rebuilders` names (anybody trusted, if nobody is named), on two families of CPUs, of "
            "whom none signed the artifact's provenance; one of the families may be the emulated CPUs. One bad rebuild "
            "fails it, whatever its age, however many good ones there are and whatever its signer says later; no "
            "waiver hides it.",
            reads="rebuild",
            dimension="number",
            better="more",
            scope="release",
            samples=False,
            most="3",
            command="muster evidence rebuild {path} --key KEY",
            satisfy="Rebuild, and commit the file. For level 3, let somebody else do it on another kind of CPU, with a "
            "key of their own: `muster rebuild --key KEY` takes whatever nobody with that key has rebuilt yet.",
            example=_example(name="rebuilt", metric="reproducibility", comparator=">=", threshold="1"),
        ),
        "signature": GateKind(
            title="Signature",
            says="How many of the keys that the base trusts for evidence signed a statement about the artifact.",
            reads="signature",
            dimension="number",
            better="more",
            scope="release",
            samples=False,
            satisfy="Sign any evidence about the artifact with a key that `policies/keys/` declares for the use "
            "`evidence`. Where no key is declared so, nobody can: that is merged first.",
            example=_example(name="signed", metric="signature", comparator=">=", threshold="1"),
        ),
        "provenance": GateKind(
            title="Provenance",
            says="How many of the trusted keys signed SLSA provenance of the artifact that names the release's source "
            "model among what it was built from.",
            reads="provenance",
            dimension="number",
            better="more",
            scope="release",
            samples=False,
            command="muster evidence provenance {path} --key KEY",
            satisfy="Let the builder write provenance, and commit the file. It must list the source's digest in "
            "`resolvedDependencies`; a list that is empty is inconclusive.",
            example=_example(name="origin-known", metric="provenance", comparator=">=", threshold="1"),
        ),
        "inference-cost": GateKind(
            title="Inference cost",
            says="Multiplications and additions that one frame costs, counted from the graph.",
            reads="measurement",
            dimension="number",
            better="less",
            scope="release",
            relative_to=("absolute", "source", "superseded"),
            interval="evidence",
            satisfy="Measure, and commit the file. Choose a smaller model, or a smaller input.",
            example=_example(
                name="no-costlier",
                metric="inference-cost",
                comparator="<=",
                threshold="1.1",
                relativeTo="superseded",
            ),
        ),
    }
)

"""Do the files of a fleet fit each other? Names, references, and values that two places must agree on.

Works on resources by file path and answers with complaints that point into documents. Files that could not be read
have complaints of their own; a reference to what such a file declares is taken as good, so that one broken file does
not drown its cause in consequences.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

from muster.check.coverage import coverage_complaints
from muster.check.freeze_complaints import freeze_complaints
from muster.check.gates.declared import gate_complaints
from muster.check.guardrail_problems import guardrail_complaints
from muster.check.lineage import lineage_complaints
from muster.check.maintenance_complaints import turn_complaints
from muster.check.people import Naming, people_complaints
from muster.check.readiness import checklist_complaints
from muster.check.waivers import waiver_complaints
from muster.kinds.checklist import Checklist
from muster.kinds.cohort import Cohort
from muster.kinds.device_class import DeviceClass
from muster.kinds.finding import Complaint, Pointer
from muster.kinds.fleet import AnyResource
from muster.kinds.freeze import Freeze
from muster.kinds.owners import Owners
from muster.kinds.policy import Policy
from muster.kinds.quantity import PPM, format_size
from muster.kinds.release import Release, ReleaseRuntime
from muster.kinds.signing_key import SigningKey
from muster.kinds.waiver import Waiver

# The last step of a pointer (and of a pydantic location) that means the key, not its value.
KEY = "[key]"

_Kind = TypeVar("_Kind", bound="AnyResource")


@dataclass(frozen=True)
class Declarations:
    """Resources by path, and the paths of files that should declare something but could not be read."""

    resources: Mapping[str, AnyResource]
    unreadable: Collection[str] = ()

    def of(self, kind: type[_Kind]) -> dict[str, _Kind]:
        """Path → resource of one kind, by path."""
        return {path: found for path, found in sorted(self.resources.items()) if isinstance(found, kind)}

    @cached_property
    def device_classes(self) -> dict[str, DeviceClass]:
        """By name."""
        return {found.metadata.name: found for found in self.of(DeviceClass).values()}

    @cached_property
    def class_names(self) -> set[str]:
        """Names of device classes that are declared, or would be by a file that could not be read."""
        return self.unread("devices/classes/") | set(self.device_classes)

    @cached_property
    def cohort_names(self) -> set[str]:
        """Names of cohorts, likewise."""
        return self.unread("devices/cohorts/") | {found.metadata.name for found in self.of(Cohort).values()}

    @cached_property
    def model_names(self) -> set[str] | None:
        """Names of models that some device class runs; None while a class could not be read."""
        if self.unread("devices/classes/"):
            return None
        return {model for found in self.device_classes.values() for model in found.spec.models}

    @cached_property
    def tiers(self) -> set[str]:
        """Names of the tiers that some policy declares."""
        return {tier.name for policy in self.of(Policy).values() for tier in policy.spec.tiers}

    def unread(self, folder: str) -> set[str]:
        """Names that files of this folder would declare that were not, or could not be, read."""
        return {path.removeprefix(folder).removesuffix(".yaml") for path in self.unreadable if path.startswith(folder)}


def complaints(
    resources: Mapping[str, AnyResource],
    unreadable: Collection[str] = (),
    unread: Collection[str] = (),
    models: Collection[str] | None = None,
) -> list[Complaint]:
    """Every complaint about how the files fit each other.

    `unread` are releases that were left out on purpose: they are declared, and reach no device. `models` are those
    whose releases were read; None: all.
    """
    declared = Declarations(resources, {*unreadable, *unread})
    found = [
        *_misnamed(declared),
        *_duplicates(declared),
        *_policy(declared),
        *lineage_complaints(declared.of(Release), declared.unreadable),
        *_people(declared),
        *_waivers(declared, models),
        *freeze_complaints(declared.of(Freeze), declared.cohort_names, declared.model_names),
        *turn_complaints(declared.of(DeviceClass), declared.of(Release).values(), declared.of(Policy).values()),
    ]
    for path, release in declared.of(Release).items():
        found += _release(declared, path, release)
        for index, runtime in enumerate(release.spec.runtimes):
            found += _runtime(declared, Pointer(path, ("spec", "runtimes", index)), release, runtime)
    return [*found, *coverage_complaints(resources, unreadable, models)]


def _misnamed(declared: Declarations) -> Iterator[Complaint]:
    """The path says who a resource is: reviews, history and owners go by paths."""
    for path, found in sorted(declared.resources.items()):
        name = found.metadata.name
        if isinstance(found, Release):
            right = f"releases/{name}/{found.version}.yaml"
        else:
            right = f"{path.rpartition('/')[0]}/{name}.yaml"
        if path != right:
            yield Complaint(
                Pointer(path, ("metadata", "name")),
                "path",
                f"the path says {path}, the metadata say {right}",
                f"move the file to {right}, or correct metadata",
            )


def _duplicates(declared: Declarations) -> Iterator[Complaint]:
    yield from _twice(
        ((path, release.name, ("metadata", "version")) for path, release in declared.of(Release).items()), "release"
    )
    for kind, word in ((DeviceClass, "device class"), (Cohort, "cohort")):
        named = ((path, found.metadata.name, ("metadata", "name")) for path, found in declared.of(kind).items())
        yield from _twice(named, word)
    orders = ((path, str(cohort.spec.order), ("spec", "order")) for path, cohort in declared.of(Cohort).items())
    yield from _twice(orders, "cohort of order")


def _twice(declared: Iterable[tuple[str, str, tuple[str, ...]]], word: str) -> Iterator[Complaint]:
    first: dict[str, str] = {}
    for path, name, where in declared:
        if name in first:
            yield Complaint(
                Pointer(path, where),
                "duplicate",
                f"{word} {name} is declared in {first[name]} already",
                "keep one, or give this one another " + where[-1],
            )
        first.setdefault(name, path)


def _policy(declared: Declarations) -> Iterator[Complaint]:
    policies = declared.of(Policy)
    unread = [path for path in declared.unreadable if path.startswith("policies/") and path.count("/") == 1]
    if not policies and not unread:
        yield Complaint(
            Pointer("policies"), "policy", "no policy is declared", "declare tiers in policies/default.yaml"
        )
    for path in list(policies)[1:]:
        yield Complaint(
            Pointer(path, ("metadata", "name")),
            "policy",
            f"a second policy beside {next(iter(policies))}",
            "declare all tiers in one policy",
        )
    for path, policy in policies.items():
        yield from _tiers(path, policy, declared.class_names)
        yield from gate_complaints(path, policy)
        yield from guardrail_complaints(path, policy)


def _tiers(path: str, policy: Policy, classes: set[str]) -> Iterator[Complaint]:
    seen: set[str] = set()
    for index, tier in enumerate(policy.spec.tiers):
        here = ("spec", "tiers", index)
        if tier.name in seen:
            yield Complaint(
                Pointer(path, (*here, "name")), "duplicate", f"tier {tier.name} stands here again", "keep one"
            )
        seen.add(tier.name)
        if list(tier.steps) != sorted(set(tier.steps)) or tier.steps[-1] != PPM:
            yield Complaint(
                Pointer(path, (*here, "steps")),
                "steps",
                "the steps of a rollout do not rise to 100%",
                'write rising percentages that end with "100%"',
            )
        for number, gate in enumerate(tier.gates):
            if gate.device_class is not None and gate.device_class not in classes:
                pointer = Pointer(path, (*here, "gates", number, "deviceClass"))
                yield _dangling(pointer, f"device class {gate.device_class}", "devices/classes", classes)


def _people(declared: Declarations) -> Iterator[Complaint]:
    policies = declared.of(Policy)
    yield from people_complaints(
        Naming(
            owners=next(iter(declared.of(Owners).items()), None),
            policies=policies,
            checklists=declared.of(Checklist),
            freezes=declared.of(Freeze),
            waivers=declared.of(Waiver),
            keys=declared.of(SigningKey),
            unreadable=declared.unreadable,
        )
    )
    for path, checklist in declared.of(Checklist).items():
        yield from checklist_complaints(path, checklist, policies)


def _waivers(declared: Declarations, models: Collection[str] | None) -> Iterator[Complaint]:
    """Complaints about waivers; one of a model whose releases were not read is taken as good."""
    waivers = declared.of(Waiver)
    elsewhere = {found.spec.release for found in waivers.values() if not _was_read(found, models)}
    releases = {release.name for release in declared.of(Release).values()} | declared.unread("releases/") | elsewhere
    yield from waiver_complaints(waivers, releases, declared.of(Policy).values())


def _was_read(waiver: Waiver, models: Collection[str] | None) -> bool:
    return models is None or waiver.spec.release.partition("/")[0] in models


def _release(declared: Declarations, path: str, release: Release) -> Iterator[Complaint]:
    cohorts = declared.cohort_names
    for name in release.spec.rollout.cohorts:
        if name not in cohorts:
            pointer = Pointer(path, ("spec", "rollout", "cohorts", name, KEY))
            yield _dangling(pointer, f"cohort {name}", "devices/cohorts", cohorts)
    if declared.tiers and release.spec.tier not in declared.tiers:
        pointer = Pointer(path, ("spec", "tier"))
        yield _dangling(pointer, f"tier {release.spec.tier}", "the policy", declared.tiers)
    right = release.spec.inference.config_version
    if release.spec.config_version != right:
        yield Complaint(
            Pointer(path, ("spec", "configVersion")),
            "pin",
            "configVersion is not the digest of spec.inference",
            f'write "{right}", and build again: the artifact carries the config',
        )
    yield from _snapshots(path, release)


def _snapshots(path: str, release: Release) -> Iterator[Complaint]:
    snapshots = release.spec.snapshots
    if snapshots.calibration == snapshots.evaluation:
        yield Complaint(
            Pointer(path, ("spec", "snapshots", "evaluation")),
            "snapshots",
            "the evaluation snapshot is the calibration snapshot",
            "cut disjoint snapshots: what calibrated a model cannot judge it",
        )
    if snapshots.golden.inputs in (snapshots.calibration, snapshots.evaluation):
        yield Complaint(
            Pointer(path, ("spec", "snapshots", "golden", "inputs")),
            "snapshots",
            "the golden inputs are one of the other snapshots",
            "cut disjoint snapshots",
        )


def _runtime(
    declared: Declarations, pointer: Pointer, release: Release, runtime: ReleaseRuntime
) -> Iterator[Complaint]:
    name = runtime.device_class
    classes = declared.class_names
    if name not in classes:
        yield _dangling(_below(pointer, "deviceClass"), f"device class {name}", "devices/classes", classes)
    if release.runtime_for(name) is not runtime:
        yield Complaint(
            _below(pointer, "deviceClass"), "duplicate", f"device class {name} stands here again", "keep one runtime"
        )
    device_class = declared.device_classes.get(name)
    if device_class is not None:
        yield from _fit(pointer, release, runtime, device_class)


def _fit(pointer: Pointer, release: Release, runtime: ReleaseRuntime, device_class: DeviceClass) -> Iterator[Complaint]:
    """What the release needs against what the class has.

    A release that reaches no device is warned of only: pins cannot change, and classes move on.
    """
    spec, name = device_class.spec, device_class.metadata.name
    severity: Literal["error", "warning"] = "error" if release.spec.rollout.reaches_any else "warning"
    if release.model not in spec.models:
        yield Complaint(
            _below(pointer, "deviceClass"),
            "model",
            f"device class {name} does not list the model {release.model}",
            f"add {release.model} to spec.models of devices/classes/{name}.yaml, or drop this runtime",
            severity,
        )
    if runtime.version != spec.runtime.version:
        yield Complaint(
            _below(pointer, "version"),
            "runtime",
            f"{name} has {spec.runtime.name} {spec.runtime.version}, not {runtime.version}",
            f'make a release for "{spec.runtime.version}"',
            severity,
        )
    if runtime.provider not in spec.runtime.providers:
        yield Complaint(
            _below(pointer, "provider"),
            "runtime",
            f"{name} cannot use {runtime.provider}",
            f"it has {', '.join(spec.runtime.providers)}",
            severity,
        )
    if release.spec.artifact.size > spec.budgets.storage:
        yield Complaint(
            Pointer(pointer.file, ("spec", "artifact", "size")),
            "budget",
            f"{release.spec.artifact.size} bytes are more than {name} has room for",
            f"its storage budget is {format_size(spec.budgets.storage)}",
            severity,
        )


def _below(pointer: Pointer, step: str) -> Pointer:
    return Pointer(pointer.file, (*pointer.path, step))


def _dangling(pointer: Pointer, what: str, where: str, known: Iterable[str]) -> Complaint:
    names = ", ".join(sorted(known)[:20]) or "nothing"
    return Complaint(pointer, "dangling", f"{what} is not declared", f"{where} declares {names}")

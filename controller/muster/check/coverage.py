"""Never converge to empty: does every device of every class get every model of its class?

The cohorts part the fleet: a device belongs to the first one, in order, whose selector matches. So each class has
its models if the last cohort takes every device, and for each cohort some release goes to the class at 100 %.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from muster.kinds.cohort import MOST_COHORTS, MOST_ENTRIES, Cohort
from muster.kinds.device_class import DeviceClass
from muster.kinds.finding import Complaint, Pointer
from muster.kinds.fleet import AnyResource
from muster.kinds.quantity import PPM
from muster.kinds.release import Release


def coverage_complaints(
    resources: Mapping[str, AnyResource], unreadable: Collection[str] = (), models: Collection[str] | None = None
) -> Iterator[Complaint]:
    """Complaints about devices that would be left without a model; `resources` by file path.

    `models` are those whose releases were read; None: all.
    """
    cohorts = {path: found for path, found in resources.items() if isinstance(found, Cohort)}
    classes = {path: found for path, found in resources.items() if isinstance(found, DeviceClass)}
    if any(path.startswith("devices/cohorts/") for path in unreadable):
        return
    if not cohorts:
        yield Complaint(
            Pointer("devices/cohorts"),
            "empty",
            "no cohort is declared: no device would get anything",
            "declare devices/cohorts/fleet.yaml without a selector",
        )
        return
    ordered = sorted(cohorts.items(), key=lambda item: (item[1].spec.order, item[1].metadata.name))
    yield from _cohorts(ordered)
    releases = [found for found in resources.values() if isinstance(found, Release)]
    yield from _too_many(ordered, {path: found for path, found in resources.items() if isinstance(found, Release)})
    whole = _whole(releases)
    names = [cohort.metadata.name for _, cohort in ordered]
    for path, device_class in sorted(classes.items()):
        if not device_class.spec.may_be_empty:
            yield from _device_class(path, device_class, names, whole, _Known(models, unreadable))


@dataclass(frozen=True)
class _Known:
    """What was read: of which models, and which files could not be."""

    models: Collection[str] | None
    unreadable: Collection[str]

    def whole(self, model: str) -> bool:
        """True if every release of the model that reaches a device is known."""
        unread = self.models is not None and model not in self.models
        return not unread and not any(path.startswith(f"releases/{model}/") for path in self.unreadable)


def _cohorts(ordered: list[tuple[str, Cohort]]) -> Iterator[Complaint]:
    path, last = ordered[-1]
    if last.spec.selector.match_labels:
        yield Complaint(
            Pointer(path, ("spec", "selector")),
            "empty",
            f"the last cohort, {last.metadata.name}, has a selector: devices outside of it would get nothing",
            "leave the selector of the last cohort out",
        )
    for path, cohort in ordered[:-1]:
        if not cohort.spec.selector.match_labels:
            yield Complaint(
                Pointer(path, ("spec",)),
                "order",
                f"cohort {cohort.metadata.name} takes every device; the cohorts after it are never reached",
                "give it a selector, or the highest order",
            )


def _too_many(ordered: list[tuple[str, Cohort]], releases: Mapping[str, Release]) -> Iterator[Complaint]:
    """What would not fit into one desired document."""
    if len(ordered) > MOST_COHORTS:
        yield Complaint(
            Pointer(ordered[MOST_COHORTS][0]),
            "bounds",
            f"{len(ordered)} cohorts are declared, {MOST_COHORTS} are possible",
            "merge cohorts, or tell devices apart by device class",
        )
    reaching: dict[tuple[str, str], int] = defaultdict(int)
    for path, release in sorted(releases.items()):
        for runtime in release.spec.runtimes if release.spec.rollout.reaches_any else ():
            key = (release.model, runtime.device_class)
            reaching[key] += 1
            if reaching[key] == MOST_ENTRIES + 1:
                yield Complaint(
                    Pointer(path, ("spec", "rollout", "cohorts")),
                    "bounds",
                    f"more than {MOST_ENTRIES} releases of {release.model} reach {runtime.device_class}",
                    "set the percentages of releases that are overtaken to 0%, or remove them",
                )


def _whole(releases: list[Release]) -> Mapping[tuple[str, str], set[str]]:
    """(model, device class) → cohorts in which some release goes to all devices."""
    whole: dict[tuple[str, str], set[str]] = defaultdict(set)
    for release in releases:
        at_all = {name for name, ppm in release.spec.rollout.cohorts.items() if ppm == PPM}
        for runtime in release.spec.runtimes if at_all else ():
            whole[release.model, runtime.device_class] |= at_all
    return whole


def _device_class(
    path: str,
    device_class: DeviceClass,
    cohorts: list[str],
    whole: Mapping[tuple[str, str], set[str]],
    known: _Known,
) -> Iterator[Complaint]:
    name = device_class.metadata.name
    for index, model in enumerate(device_class.spec.models):
        if not known.whole(model):
            continue
        missing = [cohort for cohort in cohorts if cohort not in whole.get((model, name), ())]
        if missing:
            word = "cohort" if len(missing) == 1 else "cohorts"
            yield Complaint(
                Pointer(path, ("spec", "models", index)),
                "empty",
                f"class {name} would be left without model {model} in {word} {', '.join(missing)}",
                f'declare a release of {model} for {name} at "100%" there, or set mayBeEmpty: true',
            )

"""Which declared fields of a release or a device class a change touches, by their dotted names in YAML."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from muster.check.change import Change, differing, resources_of
from muster.kinds.fleet import AnyResource, Fleet
from muster.kinds.release import Release
from muster.kinds.resource import Resource


def changed_fields(change: Change) -> dict[str, tuple[str, ...]]:
    """Path → dotted names of the fields that differ, for everything that is declared differently.

    A release that is added is compared with the one that it supersedes: what differs is what devices will notice. The
    first release of a model, and anything else that is added or removed, differs in all of "spec".
    """
    before, after = _declared(change.base), _declared(change.head)
    found = {}
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old != new:
            found[path] = _differing(old or _predecessor(change, new), new)
    return {path: fields for path, fields in found.items() if fields}


def touches(field: str, changed: Iterable[str]) -> bool:
    """True if `field`, or something in it, or something that holds it, is among the changed ones."""
    return any(_holds(field, one) or _holds(one, field) for one in changed)


def superseded(change: Change, release: Release) -> Release | None:
    """The release that this one supersedes: as the base has it, else as the head does."""
    if release.spec.supersedes is None:
        return None
    name = f"{release.model}/{release.spec.supersedes}"
    return change.base_releases.get(name) or change.head_releases.get(name)


def changes_inference(change: Change, release: Release) -> bool:
    """True if the release infers otherwise than the one it supersedes, or than the newest that devices get today.

    The latter because a release says itself what it supersedes. The first of a model changes it, too.
    """
    candidates = (superseded(change, release), change.base_running.get(release.model))
    before = [old for old in candidates if old is not None and old.name != release.name]
    return not before or any(old.spec.inference != release.spec.inference for old in before)


def _declared(fleet: Fleet) -> dict[str, AnyResource]:
    return resources_of(fleet) | {release.path: release for release in fleet.releases}


def _predecessor(change: Change, added: AnyResource | None) -> Release | None:
    return superseded(change, added) if isinstance(added, Release) else None


def _differing(before: Resource | None, after: Resource | None) -> tuple[str, ...]:
    if before is None or after is None:
        return ("spec",)
    return tuple(differing(_spec(before), _spec(after)))


def _spec(resource: Resource) -> Any:
    return resource.model_dump(mode="json", by_alias=True, include={"spec"})


def _holds(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}.")

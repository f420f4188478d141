"""The semantic difference of two fleets: what a change does, in the words of the field rather than in lines.

Base and head are fleets of the base commit and of the merge result. Where only a part of a fleet was read, both sides
hold the same part: what is absent from both did not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from muster.kinds.fleet import AnyResource, Fleet
from muster.kinds.policy import TIERS, TierName
from muster.kinds.quantity import format_percent
from muster.kinds.release import Release

What = Literal[
    "release",
    "rollout",
    "pins",
    "device class",
    "cohort",
    "policy",
    "owners",
    "checklist",
    "freeze",
    "waiver",
    "policy test",
    "trust root",
    "channel",
    "evidence",
    "diagram",
    "playbook",
    "components",
    "file",
]
Kind = Literal["added", "removed", "changed", "widened", "narrowed", "moved", "reverted"]

_WHAT: Mapping[str, What] = {
    "DeviceClass": "device class",
    "Cohort": "cohort",
    "Policy": "policy",
    "Owners": "owners",
    "Checklist": "checklist",
    "Freeze": "freeze",
    "Waiver": "waiver",
    "PolicyTest": "policy test",
    "SigningKey": "trust root",
    "TrustedIdentity": "trust root",
    "Channel": "channel",
}


@dataclass(frozen=True)
class Touched:
    """A file that differs between base and head, by git's own account. Modes and blob ids are None where absent."""

    path: str
    before: str | None
    after: str | None
    mode: str | None = "100644"


@dataclass(frozen=True)
class Item:
    """One thing that changes: `details` are short lines of before → after."""

    what: What
    kind: Kind
    name: str
    path: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Move:
    """One release whose rollout differs: percentages (ppm) by cohort, before and after.

    `resalted`: its devices are drawn anew, so that others than before get it.
    """

    release: Release
    before: Mapping[str, int]
    after: Mapping[str, int]
    tier_before: str | None
    resalted: bool = False

    @property
    def widens(self) -> bool:
        """True if some cohort gets more of it, or other devices do."""
        return self.resalted or any(ppm > self.before.get(cohort, 0) for cohort, ppm in self.after.items())

    @property
    def narrows(self) -> bool:
        """True if some cohort gets less of it."""
        return any(ppm > self.after.get(cohort, 0) for cohort, ppm in self.before.items())


@dataclass(frozen=True)
class Change:
    """Everything that differs. `reverted` names releases that go back to a state their file had before, and reach less.

    A release that is added is in `added`, and in `moves` too if it reaches any device.
    """

    base: Fleet
    head: Fleet
    items: tuple[Item, ...]
    moves: tuple[Move, ...]
    added: tuple[Release, ...]
    removed: tuple[Release, ...]
    repinned: tuple[tuple[Release, tuple[str, ...]], ...]
    """Merged releases whose pins were edited (at once, or by deleting and adding them again), with the dotted names of
    the fields."""
    touched: tuple[Touched, ...]

    @property
    def is_rollback(self) -> bool:
        """True if some release reaches fewer devices than before, none reaches others, and nothing else moves devices.

        Devices return to what they ran: steps, soak and freezes do not hold that up.
        """
        others = any(item.what in ("device class", "cohort") for item in self.items)
        return bool(self.moves) and not others and not any(move.widens for move in self.moves)

    @cached_property
    def judged(self) -> tuple[Release, ...]:
        """Releases that gates are asked about: added ones, and those that reach more devices than before."""
        chosen = {release.name: release for release in self.added}
        chosen.update({move.release.name: move.release for move in self.moves if move.widens})
        return tuple(chosen[name] for name in sorted(chosen))

    @cached_property
    def base_releases(self) -> Mapping[str, Release]:
        """The base's releases by name."""
        return {release.name: release for release in self.base.releases}

    @cached_property
    def head_releases(self) -> Mapping[str, Release]:
        """The head's releases by name."""
        return {release.name: release for release in self.head.releases}

    @cached_property
    def base_tiers(self) -> Mapping[str, TierName]:
        """Model → the highest tier of its releases on the base."""
        found: dict[str, TierName] = {}
        for release in self.base.releases:
            found[release.model] = max(found.get(release.model, release.spec.tier), release.spec.tier, key=tier_rank)
        return found

    @cached_property
    def base_running(self) -> Mapping[str, Release]:
        """Model → the newest of its releases on the base that reaches any device."""
        newest_last = reversed(self.base.releases)
        return {release.model: release for release in newest_last if release.spec.rollout.reaches_any}


def difference(
    base: Fleet, head: Fleet, touched: tuple[Touched, ...], reverted: frozenset[str] = frozenset()
) -> Change:
    """What changes from base to head. `reverted` names releases whose file is back in an earlier state."""
    old = {release.name: release for release in base.releases}
    new = {release.name: release for release in head.releases}
    added = tuple(new[name] for name in sorted(new.keys() - old.keys()))
    removed = tuple(old[name] for name in sorted(old.keys() - new.keys()))
    moves = tuple(_moves(old, new))
    repinned = tuple(
        (new[name], fields)
        for name in sorted(old.keys() & new.keys())
        if (fields := differing_pins(old[name], new[name]))
    )
    items = (
        *_release_items(old, new, {move.release.name: move for move in moves}, reverted),
        *(Item("pins", "changed", release.name, release.path, fields) for release, fields in repinned),
        *_resource_items(base, head),
        *_file_items(touched),
    )
    return Change(base, head, items, moves, added, removed, repinned, touched)


def tier_rank(tier: str | None) -> int:
    """How much is at stake, from 0; unknown is most."""
    return TIERS.index(tier) if tier in TIERS else len(TIERS)


def _moves(old: Mapping[str, Release], new: Mapping[str, Release]) -> Iterator[Move]:
    for name in sorted(old.keys() | new.keys()):
        before = _shares(old.get(name))
        after = _shares(new.get(name))
        release = new.get(name) or old[name]
        salted = name in old and name in new and old[name].salt != new[name].salt and any(after.values())
        if before != after or salted:
            yield Move(release, before, after, old[name].spec.tier if name in old else None, salted)


def _shares(release: Release | None) -> dict[str, int]:
    return {cohort: ppm for cohort, ppm in release.spec.rollout.cohorts.items() if ppm} if release else {}


def differing_pins(old: Release, new: Release) -> tuple[str, ...]:
    """Dotted names of the pins in which two declarations of one release differ."""
    return tuple(differing(_pinned(old), _pinned(new)))


def _pinned(release: Release) -> Any:
    data = release.model_dump(mode="json", exclude={"spec": {"rollout"}})
    data["metadata"].pop("description", None)
    return data


def differing(before: Any, after: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of the fields that differ, as deep as both sides have fields."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                yield from differing(before.get(key), after.get(key), f"{prefix}.{key}" if prefix else key)
    elif before != after:
        yield prefix


def _release_items(
    old: Mapping[str, Release], new: Mapping[str, Release], moves: Mapping[str, Move], reverted: frozenset[str]
) -> Iterator[Item]:
    for name in sorted(old.keys() | new.keys()):
        release = new.get(name) or old[name]
        move = moves.get(name)
        lines = _move_lines(move) if move else ()
        if name not in old:
            yield Item("release", "added", name, release.path, lines)
        elif name not in new:
            yield Item("release", "reverted" if name in reverted else "removed", name, release.path, lines)
        elif move:
            yield Item("rollout", _kind_of(move, name in reverted), name, release.path, lines)


def _kind_of(move: Move, reverted: bool) -> Kind:
    if reverted and not move.widens:
        return "reverted"
    if move.widens:
        return "moved" if move.narrows else "widened"
    return "narrowed" if move.narrows else "moved"


def _move_lines(move: Move) -> tuple[str, ...]:
    return tuple(
        f"{cohort}: {format_percent(move.before.get(cohort, 0))} → {format_percent(move.after.get(cohort, 0))}"
        for cohort in sorted(move.before.keys() | move.after.keys())
        if move.before.get(cohort, 0) != move.after.get(cohort, 0)
    )


def _resource_items(base: Fleet, head: Fleet) -> Iterator[Item]:
    before, after = resources_of(base), resources_of(head)
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        resource = new or old
        assert resource is not None
        kind: Kind = "added" if old is None else "removed" if new is None else "changed"
        details = tuple(differing(_dumped(old), _dumped(new)))[:20] if old and new else ()
        yield Item(_WHAT[type(resource).__name__], kind, resource.metadata.name, path, details)


def _dumped(resource: AnyResource) -> Any:
    return resource.model_dump(mode="json", by_alias=True)


_FOLDERS = {
    "DeviceClass": "devices/classes",
    "Cohort": "devices/cohorts",
    "Policy": "policies",
    "Owners": "policies",
    "Checklist": "policies",
    "Freeze": "policies/freezes",
    "Waiver": "policies/waivers",
    "PolicyTest": "policies/tests",
    "SigningKey": "policies/keys",
    "TrustedIdentity": "policies/identities",
    "Channel": "policies/channels",
}


def path_of(resource: AnyResource) -> str:
    """Where a resource is declared; its name and its path always agree."""
    if isinstance(resource, Release):
        return resource.path
    return f"{_FOLDERS[type(resource).__name__]}/{resource.metadata.name}.yaml"


def resources_of(fleet: Fleet) -> dict[str, AnyResource]:
    """Everything that a fleet declares, by path, but releases."""
    alone = [resource for resource in (fleet.owners, fleet.checklist) if resource is not None]
    everything: list[AnyResource] = [
        *fleet.device_classes,
        *fleet.cohorts,
        *fleet.policies,
        *fleet.signing_keys,
        *fleet.identities,
        *fleet.channels,
        *fleet.freezes,
        *fleet.waivers,
        *alone,
    ]
    return {path_of(resource): resource for resource in everything}


def _file_items(touched: tuple[Touched, ...]) -> Iterator[Item]:
    for file in touched:
        what = _file_kind(file.path)
        if what is not None:
            kind: Kind = "added" if file.before is None else "removed" if file.after is None else "changed"
            yield Item(what, kind, file.path.rpartition("/")[2], file.path)


def _file_kind(path: str) -> What | None:
    """What a file is that is no resource; None for resources and for what Muster does not know."""
    if path.startswith("evidence/"):
        return "evidence"
    if path.startswith("docs/diagrams/"):
        return "diagram"
    if path.startswith("docs/playbooks/"):
        return "playbook"
    if path == "docs/components.yaml":
        return "components"
    if path.startswith("policies/tests/"):
        return "policy test"
    return None

"""Which approvals a change needs, by the policy and the owners of the base; not yet who gave them.

Five rules ask: the owner of the paths that are touched (the last entry that matches counts, as in CODEOWNERS), the
owners of the fields that are touched (each entry with `fields` that matches asks in addition: to touch more never asks
for less), the release's tier, whatever changes inference (two roles at least), and whatever weakens policy. Within a
rule every approval comes from another person; one person may answer several rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from muster.check.case import Case
from muster.check.change import tier_rank
from muster.check.field_changes import changed_fields, changes_inference, touches
from muster.check.paths import matches
from muster.check.slots import Group
from muster.check.stakes import declared_tier, lowered, tier_held_to
from muster.check.verdict import Verdict
from muster.check.waivers import new_waivers
from muster.kinds.owners import Ownership, Role
from muster.kinds.policy import TierName
from muster.kinds.release import Release

INFERENCE = "spec.inference"
ROLES: tuple[Role, ...] = get_args(Role)
_SHOWN = 3


@dataclass(frozen=True)
class ApprovalRule:
    """Approvals that are asked for together; `groups` by what is asked for, in words."""

    rule: str
    subject: str
    groups: tuple[tuple[str, Group], ...]
    tier: TierName | None = None
    why: str = ""


def approval_rules(case: Case, weakenings: bool | Sequence[Verdict]) -> Iterator[ApprovalRule]:
    """Everything that asks for approvals of this change."""
    yield from _path_rules(case)
    fields = tuple(_field_rules(case))
    yield from fields
    for release in case.change.judged:
        yield from _tier_rules(case, release)
    yield from _inference_rules(case, fields)
    yield from _policy_rule(case, weakenings)


def _path_rules(case: Case) -> Iterator[ApprovalRule]:
    entries = _entries(case, with_fields=False)
    concerned: dict[int, list[str]] = {}
    for path in sorted({file.path for file in case.change.touched}):
        last = next((number for number in reversed(range(len(entries))) if _owns(entries[number], path)), None)
        if last is not None:
            concerned.setdefault(last, []).append(path)
    for number, paths in sorted(concerned.items()):
        groups = tuple(_groups(case, entries[number], _few(paths)))
        if groups:
            tier = _tier_of_paths(case, paths)
            yield ApprovalRule("approval/path", paths[0], groups, tier, entries[number].why or "")


def _field_rules(case: Case) -> Iterator[ApprovalRule]:
    entries = _entries(case, with_fields=True)
    if not entries:
        return
    changed = changed_fields(case.change)
    for entry in entries:
        for path, fields in changed.items():
            named = [field for field in entry.fields if touches(field, fields)]
            groups = tuple(_groups(case, entry, f"{_few(named)} of {path}"))
            if named and groups and _owns(entry, path):
                yield ApprovalRule("approval/field", path, groups, _tier_of_paths(case, [path]), entry.why or "")


def _entries(case: Case, *, with_fields: bool) -> list[Ownership]:
    owners = case.change.base.owners
    return [entry for entry in owners.spec.paths if bool(entry.fields) == with_fields] if owners else []


def _owns(entry: Ownership, path: str) -> bool:
    """Whether the entry's paths mean this one; what stands before any star is compared first, as that is cheap."""
    return any(
        path.startswith(pattern.partition("*")[0].rstrip("/")) and matches(pattern, path) for pattern in entry.paths
    )


def _groups(case: Case, entry: Ownership, what: str) -> Iterator[tuple[str, Group]]:
    for role in entry.roles:
        yield f"{role} for {what}", Group((case.reviews.with_role(role),), 1)
    if entry.owners:
        yield f"an owner of {what}", Group((_logins(case, entry.owners),), 1)


def _logins(case: Case, named: Sequence[str]) -> frozenset[str]:
    return frozenset(person.login for login in named if (person := case.reviews.person(login)))


def _tier_of_paths(case: Case, paths: Sequence[str]) -> TierName | None:
    """The highest tier of the releases that these paths declare; None if one of them declares something else."""
    names = [path.removeprefix("releases/").removesuffix(".yaml") for path in paths]
    releases = [case.change.head_releases.get(name) or case.change.base_releases.get(name) for name in names]
    found = [release for release, path in zip(releases, paths, strict=True) if release and release.path == path]
    if len(found) < len(paths):
        return None
    return max((tier_held_to(case, release) for release in found), key=tier_rank)


def _tier_rules(case: Case, release: Release) -> Iterator[ApprovalRule]:
    name = tier_held_to(case, release)
    tier = declared_tier(case.change.base, name)
    if tier is None:
        return
    owners = case.change.base.owners
    what = f"{release.name} ({name})"
    groups = tuple(
        (f"{asked.role} for {what}", Group((case.reviews.with_role(asked.role),) * asked.count, asked.count))
        for asked in tier.approvals
    )
    if groups:
        yield ApprovalRule("approval/role", release.name, groups, name)
    if tier.named_approvers:
        named = _logins(case, owners.spec.named_approvers if owners else ())
        group = Group((named,) * tier.named_approvers, tier.named_approvers)
        yield ApprovalRule("approval/named", release.name, ((f"named approver of {what}", group),), name)


def _inference_rules(case: Case, declared: Sequence[ApprovalRule]) -> Iterator[ApprovalRule]:
    """Two people of two roles, unless an entry of the owners asks for as many about the same file already."""
    covered = {
        rule.subject for rule in declared if len(rule.groups) > 1 and any(INFERENCE in w for w, _ in rule.groups)
    }
    concerned = {release.name: release for release in case.change.added if changes_inference(case.change, release)}
    concerned.update((release.name, release) for release, fields in case.change.repinned if touches(INFERENCE, fields))
    slots = tuple(case.reviews.with_role(role) for role in ROLES)
    for name, release in sorted(concerned.items()):
        if release.path not in covered:
            groups = ((f"two roles for the inference of {name}", Group(slots, 2)),)
            yield ApprovalRule("approval/inference", name, groups, tier_held_to(case, release))


def _policy_rule(case: Case, weakenings: bool | Sequence[Verdict]) -> Iterator[ApprovalRule]:
    reasons = [f"the lower tier of {release.name}" for release in lowered(case)]
    reasons += [f"waiver {waiver.metadata.name}" for waiver in new_waivers(case.change)]
    if weakenings:
        reasons.insert(0, "what weakens policy" if weakenings is True else _counted(len(weakenings)))
    if not reasons:
        return
    owners = case.change.base.owners
    group = Group((_logins(case, owners.spec.policy_owners if owners else ()),), 1)
    what = f"a policy owner for {_few(reasons)}"
    tiers = [tier for release in lowered(case) if (tier := case.change.base_tiers.get(release.model))]
    tier = max(tiers, key=tier_rank) if tiers and len(tiers) == len(reasons) else None
    yield ApprovalRule("approval/policy", "policies", ((what, group),), tier)


def _counted(count: int) -> str:
    return "1 weakening" if count == 1 else f"{count} weakenings"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

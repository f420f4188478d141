"""Small changes with people who review them, made through the kinds like any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fleets import make_fleet, make_release
from muster.check.case import Case
from muster.check.change import Touched, difference
from muster.kinds.checklist import Checklist
from muster.kinds.fleet import Fleet
from muster.kinds.owners import Owners
from muster.kinds.policy import Policy
from muster.kinds.pull_request import Approval, PullRequest
from muster.kinds.release import Inference, Release
from muster.kinds.waiver import Waiver

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
HEAD = "b" * 40
OLDER = "a" * 40

# login → roles
PEOPLE: dict[str, list[str]] = {
    "ada": ["ml"],
    "grace": ["ml", "firmware"],
    "linus": ["firmware"],
    "rita": ["release"],
    "sam": ["security", "policy"],
    "pia": ["policy", "qa"],
}


def make_owners(
    people: Mapping[str, Sequence[str]] = PEOPLE,
    *,
    paths: Sequence[Mapping[str, Any]] = (),
    policy: Sequence[str] = ("sam", "pia"),
    named: Sequence[str] = ("rita", "pia"),
) -> Owners:
    """These people, each with the address <login>@fleet.example."""
    return Owners.model_validate(
        {
            "metadata": {"name": "owners"},
            "spec": {
                "people": [
                    {"login": login, "roles": list(roles), "addresses": [f"{login}@fleet.example"]}
                    for login, roles in people.items()
                ],
                "policyOwners": list(policy),
                "namedApprovers": list(named),
                "paths": list(paths),
            },
        }
    )


def make_tiers(**fields: Any) -> Policy:
    """All three tiers; `fields` are those of each, by tier name: production={"approvals": [...]}."""
    tier = {"steps": ["100%"], "soak": "1h", "health": {"window": "1m", "pollInterval": "1m"}}
    return Policy.model_validate(
        {
            "metadata": {"name": "default"},
            "spec": {
                "tiers": [
                    {**tier, "name": name, **fields.get(name, {})} for name in ("research", "production", "regulated")
                ]
            },
        }
    )


def with_inference(release: Release, **thresholds: str) -> Release:
    """The release with another inference config."""
    data = release.spec.inference.model_dump(mode="json", by_alias=True)
    data["thresholds"] = {"confidence": "50%", "minConfident": "60%", **thresholds}
    return release.model_copy(
        update={"spec": release.spec.model_copy(update={"inference": Inference.model_validate(data)})}
    )


def make_base(
    *releases: Release,
    owners: Owners | None = None,
    policy: Policy | None = None,
    waivers: Sequence[Waiver] = (),
    checklist: Checklist | None = None,
) -> Fleet:
    """A fleet with these releases, people and exceptions."""
    fleet = make_fleet(*(releases or (make_release("1.0.0", {"fleet": "100%"}),)))
    return replace(
        fleet, owners=owners, policies=(policy or make_tiers(),), waivers=tuple(waivers), checklist=checklist
    )


def with_releases(fleet: Fleet, *releases: Release) -> Fleet:
    """The fleet with these releases added, or in place of those of the same name."""
    named = {release.name: release for release in (*fleet.releases, *releases)}
    return replace(fleet, releases=tuple(sorted(named.values(), key=lambda one: one.name, reverse=True)))


def approval(by: str, of: str = "", *, commit: str = HEAD) -> Approval:
    """An approval of the head."""
    return Approval(by, commit, NOW, of)


def make_case(
    base: Fleet,
    head: Fleet | None = None,
    *approvals: Approval | str,
    touched: Sequence[str] = (),
    now: datetime = NOW,
    **request: Any,
) -> Case:
    """A change by `nobody-here`, approved by these people (or with these approvals)."""
    said = tuple(one if isinstance(one, Approval) else approval(one) for one in approvals)
    fields: dict[str, Any] = {"author": "nobody-here", "forge": "github", "approvals": said, **request}
    files = tuple(Touched(path, "1" * 40, "2" * 40) for path in touched)
    return Case(difference(base, head or base, files), PullRequest("0" * 40, HEAD, **fields), now)

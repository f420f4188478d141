"""A fleet with one of everything that a change could loosen, as plain data that a test edits."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from fleets import PUBLIC_KEY, make_class, make_cohort, make_release
from muster.check.change import Change, Touched, difference
from muster.check.verdict import Verdict
from muster.check.weakening import weakenings
from muster.kinds.fleet import KINDS, Fleet

OTHER_KEY = PUBLIC_KEY.replace("AAAA", "BBBB")
Tree = dict[str, Any]
Edit = Callable[[Tree], None]

_GATES = [
    {
        "name": "accuracy-kept",
        "metric": "accuracy",
        "comparator": ">=",
        "threshold": "0.99",
        "relativeTo": "source",
        "minSamples": 250,
        "bound": "lower",
        "maxAge": "7d",
    },
    {"name": "fast", "metric": "p95-latency", "comparator": "<=", "threshold": "20ms"},
    {"name": "night", "metric": "accuracy", "comparator": ">=", "threshold": "0.9", "slice": "night"},
    {"name": "same-bits", "metric": "reproducibility", "comparator": "==", "threshold": "2"},
]
_TIER = {
    "name": "production",
    "steps": ["5%", "25%", "50%", "100%"],
    "soak": "24h",
    "health": {"window": "10m", "pollInterval": "5m"},
    "gates": _GATES,
    "guardrails": [{"name": "failures", "metric": "failure-share", "limit": "20%", "minDevices": 2}],
    "evidenceMaxAge": "30d",
    "deployable": 2,
    "rehearsedWithin": "30d",
    "approvals": [{"role": "ml", "count": 2}, {"role": "qa"}],
    "namedApprovers": 1,
    "signedCommits": True,
    "checklist": True,
}
_PEOPLE = [
    {"login": "ada", "roles": ["policy", "ml"], "addresses": ["ada@fleet.example"]},
    {"login": "bo", "roles": ["qa"]},
    {"login": "cy"},
]
_OWNERS = {
    "people": _PEOPLE,
    "policyOwners": ["ada", "bo"],
    "namedApprovers": ["ada"],
    "paths": [
        {"paths": ["**"], "owners": ["ada", "bo"]},
        {"paths": ["releases", "devices/classes"], "owners": ["ada"], "roles": ["ml", "qa"]},
        {"paths": ["docs/**"], "roles": ["qa"]},
    ],
}
_TEST = {
    "at": "2026-01-01T00:00:00Z",
    "author": "cy",
    "head": [{"path": "releases/a.yaml", "text": "a"}],
    "blocked": True,
    "expect": [{"rule": "gate/accuracy", "outcome": "fail"}],
}
_ITEM = {
    "name": "integrity",
    "area": "artifact-integrity",
    "statement": "The artifact is what was built.",
    "stage": "build",
    "role": "security",
    "tiers": ["production", "regulated"],
    "answeredBy": {"gate": "signature"},
}


def guarded() -> Tree:
    """Path → document (without apiVersion) of the fleet that changes are judged against."""
    specs: Tree = {
        "policies/default.yaml": (
            "Policy",
            {
                "tiers": [_TIER, {**_TIER, "name": "research", "gates": []}, {**_TIER, "name": "regulated"}],
                "impact": [
                    {
                        "name": "inference",
                        "needs": "diagram",
                        "paths": ["controller/muster/agent"],
                        "fields": ["spec.inference"],
                        "why": "w",
                    }
                ],
            },
        ),
        "policies/owners.yaml": ("Owners", _OWNERS),
        "policies/checklist.yaml": ("Checklist", {"items": [_ITEM]}),
        "policies/freezes/nights.yaml": (
            "Freeze",
            {
                "effect": "deny",
                "cron": "0 22 * * *",
                "duration": "8h",
                "models": ["meter-reader", "counter"],
                "overrideOwners": ["ada"],
                "reason": "r",
            },
        ),
        "policies/freezes/days.yaml": (
            "Freeze",
            {"effect": "allow", "cron": "0 9 * * *", "duration": "8h", "reason": "r"},
        ),
        "policies/waivers/slow.yaml": (
            "Waiver",
            {
                "gate": "fast",
                "release": "meter-reader/1.0.0",
                "owner": "ada",
                "reason": "r",
                "granted": "2026-01-01",
                "expires": "2026-01-20",
            },
        ),
        "policies/tests/t.yaml": ("PolicyTest", _TEST),
        "policies/keys/test.yaml": ("SigningKey", {"publicKey": PUBLIC_KEY, "uses": ["artifacts"]}),
    }
    tree = {
        path: {"kind": kind, "metadata": {"name": _name(path)}, "spec": json.loads(json.dumps(spec))}
        for path, (kind, spec) in specs.items()
    }
    declared = (make_class("cam-day"), make_cohort("fleet", 1), make_release("1.0.0", {"fleet": "50%"}))
    for path, resource in zip(
        ("devices/classes/cam-day.yaml", "devices/cohorts/fleet.yaml", "releases/meter-reader/1.0.0.yaml"),
        declared,
        strict=True,
    ):
        tree[path] = resource.model_dump(mode="json", by_alias=True)
    return tree


def fleet_of(tree: Tree) -> Fleet:
    """The fleet that a tree declares."""
    return Fleet.of([KINDS[document["kind"]].model_validate(document) for document in tree.values()], "c" * 40)


def change_of(edit: Edit, start: Edit | None = None, touched: tuple[Touched, ...] = ()) -> Change:
    """The guarded fleet (after `start`), and the same after `edit`."""
    base = guarded()
    if start is not None:
        start(base)
    head = copy.deepcopy(base)
    edit(head)
    return difference(fleet_of(base), fleet_of(head), touched)


def found(edit: Edit, start: Edit | None = None, author: str | None = "cy") -> list[Verdict]:
    """Everything that an edit weakens."""
    return list(weakenings(change_of(edit, start), author))


def rules(edit: Edit, start: Edit | None = None) -> list[str]:
    """Only what it is called, without the section, each once."""
    return sorted({verdict.rule.removeprefix("weakening/") for verdict in found(edit, start)})


def spec(tree: Tree, path: str) -> Any:
    """The spec of a file, to be edited in place."""
    return tree[path]["spec"]


def tier(tree: Tree) -> Any:
    """The production tier."""
    return spec(tree, "policies/default.yaml")["tiers"][0]


def gate(tree: Tree, name: str) -> Any:
    """One gate of the production tier."""
    return next(one for one in tier(tree)["gates"] if one["name"] == name)


def owners(tree: Tree) -> Any:
    """The spec of the owners file."""
    return spec(tree, "policies/owners.yaml")


def person(tree: Tree, login: str) -> Any:
    """One person of the owners file."""
    return next(one for one in owners(tree)["people"] if one["login"] == login)


def _name(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".yaml")

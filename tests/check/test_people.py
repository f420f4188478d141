"""people: owners, and whatever names people, fit each other; complaints stand at their places."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.source.load import Loader
from scratch_fleet import fleet_files
from scratch_repository import write

ROOT = Path(__file__).resolve().parents[2]
OWNERS = "policies/owners.yaml"
FREEZE = "policies/freezes/easter.yaml"
WAIVER = "policies/waivers/one.yaml"
POLICY = "policies/default.yaml"
CHECKLIST = "policies/checklist.yaml"
PEM = "-----BEGIN PUBLIC KEY-----\\nAAAA\\n-----END PUBLIC KEY-----\\n"

PEOPLE = """\
apiVersion: muster/v1
kind: Owners
metadata:
  name: owners
spec:
  people:
    - login: ada
      roles: [ml]
      addresses: [ada@fleet.example]
    - login: sam
      roles: [policy]
      addresses: [sam@fleet.example]
  policyOwners: [sam]
  namedApprovers: [ada]
  paths:
    - paths: [policies]
      owners: [sam]
    - paths: [releases]
      roles: [ml]
"""
FREEZE_YAML = """\
apiVersion: muster/v1
kind: Freeze
metadata:
  name: easter
spec:
  effect: deny
  cron: "0 0 1 4 *"
  duration: 1d
  overrideOwners: [ada, mallory]
  reason: nobody is at work
"""
WAIVER_YAML = """\
apiVersion: muster/v1
kind: Waiver
metadata:
  name: one
spec:
  gate: fits
  release: reader/1.0.0
  owner: {owner}
  reason: because
  granted: "2026-03-01"
  expires: "2026-03-20"
"""
KEY_YAML = """\
apiVersion: muster/v1
kind: SigningKey
metadata:
  name: ada-approves
spec:
  publicKey: "{pem}"
  uses: [{uses}]
"""
KEY = "policies/keys/ada-approves.yaml"
GATE = '      gates: [{name: fits, metric: artifact-size, comparator: "<=", threshold: "1", relativeTo: budget}]\n'


def changed(old: str, new: str, **files: str) -> dict[str, str]:
    """The small fleet with people, one line of whom is another."""
    assert old in PEOPLE
    return fleet_files(**{OWNERS: PEOPLE.replace(old, new, 1), **files})


def asking(text: str, **files: str) -> dict[str, str]:
    """The small fleet with people, whose tier asks for this."""
    found = fleet_files(**{OWNERS: PEOPLE, **files})
    return found | {POLICY: found[POLICY] + text}


def with_key(uses: str | None) -> dict[str, str]:
    """Ada approves with a key that is declared for these uses."""
    keys = {} if uses is None else {KEY: KEY_YAML.format(pem=PEM, uses=uses)}
    return changed("roles: [ml]", "roles: [ml]\n      approvalKeys: [ada-approves]", **keys)


def waived(owner: str) -> dict[str, str]:
    """A waiver by this owner."""
    return asking(GATE, **{WAIVER: WAIVER_YAML.format(owner=owner)})


ANOTHER = "    - login: {login}\n      {more}\n  policyOwners"
SSH = "sshKeys: [ssh-ed25519 AAAA]"
GITSIGN = "gitsign: [{identity: a@b, issuer: c}]"
GPG = f"gpgKeys: [{'A' * 40}]"


def another(login: str, more: str, hers: str = "") -> dict[str, str]:
    """Another person with such a field, which ada has as well."""
    files = changed("  policyOwners", ANOTHER.format(login=login, more=more))
    return files | {
        OWNERS: files[OWNERS].replace("roles: [ml]", f"roles: [ml]\n      {hers}", 1) if hers else files[OWNERS]
    }


CASES = {
    "in order": (fleet_files(**{OWNERS: PEOPLE}), []),
    "a policy owner is nobody": (
        changed("policyOwners: [sam]", "policyOwners: [sam, eve]"),
        [(f"{OWNERS}:13:23", "dangling")],
    ),
    "case does not matter": (changed("policyOwners: [sam]", "policyOwners: [SAM]"), []),
    "a named approver is nobody": (changed("[ada]\n  paths", "[eve]\n  paths"), [(f"{OWNERS}:14:20", "dangling")]),
    "an owner of paths is nobody": (changed("owners: [sam]", "owners: [eve]"), [(f"{OWNERS}:17:16", "dangling")]),
    "a person stands twice": (another("ADA", "roles: []"), [(f"{OWNERS}:13:14", "duplicate")]),
    "an address is claimed twice": (
        another("eve", "addresses: [eve@fleet.example, Ada@Fleet.example]"),
        [(f"{OWNERS}:14:38", "duplicate")],
    ),
    "an SSH key is claimed twice": (another("eve", SSH, SSH), [(f"{OWNERS}:15:17", "duplicate")]),
    "a GPG key is claimed twice": (another("eve", GPG, GPG), [(f"{OWNERS}:15:17", "duplicate")]),
    "a gitsign identity is claimed twice": (another("eve", GITSIGN, GITSIGN), [(f"{OWNERS}:15:17", "duplicate")]),
    "an approval key is declared": (with_key("approvals"), []),
    "an approval key is not declared": (with_key(None), [(f"{OWNERS}:9:22", "dangling")]),
    "an approval key is for something else": (with_key("artifacts"), [(f"{OWNERS}:9:22", "dangling")]),
    "nobody has the role of a path": (
        fleet_files(**{OWNERS: PEOPLE[: PEOPLE.rindex("[ml]")] + "[qa]\n"}),
        [(f"{OWNERS}:19:15", "approvals")],
    ),
    "a tier asks for a role": (asking("      approvals: [{role: ml}]\n"), []),
    "a tier asks for more than there are": (
        asking("      approvals: [{role: ml, count: 2}]\n"),
        [(f"{POLICY}:14:19", "approvals")],
    ),
    "a tier asks and there are no owners": (
        {path: text for path, text in asking("      approvals: [{role: ml}]\n").items() if path != OWNERS},
        [(f"{POLICY}:14:19", "approvals")],
    ),
    "more named approvers than are named": (asking("      namedApprovers: 2\n"), [(f"{POLICY}:14:23", "approvals")]),
    "whoever may lift a freeze is nobody": (
        fleet_files(**{OWNERS: PEOPLE, FREEZE: FREEZE_YAML}),
        [(f"{FREEZE}:9:25", "dangling")],
    ),
    "a waiver is a policy owner's": (waived("sam"), []),
    "a waiver is nobody's": (waived("eve"), [(f"{WAIVER}:8:10", "dangling")]),
    "a waiver is not a policy owner's": (waived("ada"), [(f"{WAIVER}:8:10", "waiver")]),
    "a waiver of a release that is gone": (
        waived("sam") | {WAIVER: WAIVER_YAML.format(owner="sam").replace("1.0.0", "7.0.0")},
        [(f"{WAIVER}:7:12", "dangling")],
    ),
    "owners that cannot be read": (waived("eve") | {OWNERS: "a: [\n"}, [(f"{OWNERS}:2:1", "syntax")]),
}


@pytest.mark.parametrize(("files", "expected"), CASES.values(), ids=CASES.keys())
def test_complaint(tmp_path, files, expected):
    """Each misfit gives its complaint, at its place, and no other."""
    write(tmp_path, files)
    assert [(str(one.place), one.rule) for one in Loader().work_tree(tmp_path).findings] == expected


def test_a_checklist_without_all_areas_does_not_load(tmp_path):
    """The complaint stands at the items."""
    item = "{name: a, area: rollout-plan, statement: b, stage: release, role: ml, tiers: [research], answeredBy: {}}"
    text = f"apiVersion: muster/v1\nkind: Checklist\nmetadata:\n  name: checklist\nspec:\n  items:\n    - {item}\n"
    write(tmp_path, fleet_files(**{CHECKLIST: text}))
    found = [(one.place.line, one.rule) for one in Loader().work_tree(tmp_path).findings]
    assert found == [(7, "checklist"), (7, "checklist")]


def test_the_people_of_this_repository():
    """Every role that this fleet asks for has two people at least: the author never counts."""
    fleet = Loader().work_tree(ROOT).fleet_or_refuse("this repository")
    assert fleet.owners is not None
    for entry in fleet.owners.spec.paths:
        for role in entry.roles:
            assert sum(role in person.roles for person in fleet.owners.spec.people) >= 2
    assert len(fleet.owners.spec.policy_owners) >= 2

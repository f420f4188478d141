"""Everything that loosens what a change is judged by is found, under its name; nothing else is."""

from __future__ import annotations

import copy

import pytest

from guarded_fleet import (
    OTHER_KEY,
    Edit,
    Tree,
    change_of,
    fleet_of,
    found,
    gate,
    guarded,
    owners,
    person,
    rules,
    spec,
    tier,
)
from muster.check.change import Touched, difference
from muster.check.weakening import lift_weakenings, weakenings
from muster.check.weakening.gates import looser_gate
from muster.kinds.finding import Pointer
from muster.kinds.policy import Gate

NIGHTS = "policies/freezes/nights.yaml"
DAYS = "policies/freezes/days.yaml"
WAIVER = "policies/waivers/slow.yaml"
ITEMS = "policies/checklist.yaml"
TEST = "policies/tests/t.yaml"
KEY = "policies/keys/test.yaml"
CLASS = "devices/classes/cam-day.yaml"
RELEASE = "releases/meter-reader/1.0.0.yaml"


def put(**values: object) -> Edit:
    """Set fields of the production tier."""
    return lambda tree: tier(tree).update(values)


def gate_put(name: str, **values: object) -> Edit:
    """Set fields of a gate; None takes one away."""

    def edit(tree: Tree) -> None:
        one = gate(tree, name)
        one.update(values)
        for field in [field for field, value in values.items() if value is None]:
            del one[field]

    return edit


def spec_put(path: str, **values: object) -> Edit:
    """Set fields of a file's spec."""
    return lambda tree: spec(tree, path).update(values)


def item_put(**values: object) -> Edit:
    """Set fields of the checklist's item."""
    return lambda tree: spec(tree, ITEMS)["items"][0].update(values)


def drop(path: str) -> Edit:
    """Delete a file."""
    return lambda tree: tree.pop(path) and None


def drop_gate(name: str) -> Edit:
    """Take a gate out of the production tier."""
    return lambda tree: tier(tree)["gates"].remove(gate(tree, name))


def rename_gate(old: str, new: str, **values: object) -> Edit:
    """Give a gate another name, and fields."""
    return lambda tree: gate(tree, old).update({"name": new, **values})


def copy_file(path: str, name: str, **values: object) -> Edit:
    """A second file like `path`, with other fields in its spec."""

    def edit(tree: Tree) -> None:
        other = copy.deepcopy(tree[path])
        other["metadata"]["name"] = name
        other["spec"].update(values)
        tree[f"{path.rpartition('/')[0]}/{name}.yaml"] = other

    return edit


def move(path: str, name: str, **values: object) -> Edit:
    """The same file under another name."""

    def edit(tree: Tree) -> None:
        copy_file(path, name, **values)(tree)
        del tree[path]

    return edit


def person_put(login: str, **values: object) -> Edit:
    """Set fields of a person."""
    return lambda tree: person(tree, login).update(values)


def path_rule(index: int, **values: object) -> Edit:
    """Set fields of a path rule."""
    return lambda tree: owners(tree)["paths"][index].update(values)


def add_rule(**values: object) -> Edit:
    """Add a path rule at the end, where it counts most."""
    return lambda tree: owners(tree)["paths"].append(values)


def release_like(version: str, tier_name: str) -> Edit:
    """Add a release that reaches nothing."""

    def edit(tree: Tree) -> None:
        other = copy.deepcopy(tree[RELEASE])
        other["metadata"]["version"] = version
        other["spec"]["tier"] = tier_name
        other["spec"]["rollout"] = {"cohorts": {"fleet": "0%"}}
        tree[f"releases/meter-reader/{version}.yaml"] = other

    return edit


def budget(**values: str) -> Edit:
    """Set budgets of the device class."""
    return lambda tree: spec(tree, CLASS)["budgets"].update(values)


def impact(**values: object) -> Edit:
    """Set fields of the impact rule."""
    return lambda tree: spec(tree, "policies/default.yaml")["impact"][0].update(values)


def guardrail(**values: object) -> Edit:
    """Set fields of the guardrail."""
    return lambda tree: tier(tree)["guardrails"][0].update(values)


def nobody(_: Tree) -> None:
    """Change nothing."""


WEAKER: dict[str, tuple[Edit, list[str]]] = {
    "a minimum is lowered": (gate_put("accuracy-kept", threshold="0.98"), ["threshold"]),
    "a minimum is lowered in another unit": (gate_put("accuracy-kept", threshold="98.9%"), ["threshold"]),
    "a maximum is raised": (gate_put("fast", threshold="0.021s"), ["threshold"]),
    "a threshold of another dimension": (gate_put("fast", threshold="4MiB"), ["threshold"]),
    "an exact value is another one": (gate_put("same-bits", threshold="3"), ["threshold"]),
    "an exact value becomes a minimum": (gate_put("same-bits", comparator=">="), ["comparator"]),
    "a comparator is turned round": (gate_put("fast", comparator=">="), ["comparator"]),
    "a gate is removed": (drop_gate("fast"), ["gate"]),
    "all gates are removed": (put(gates=[]), ["gate", "slice"]),
    "a gate only warns": (gate_put("fast", severity="warn"), ["severity"]),
    "a gate under a new name is laxer": (rename_gate("fast", "swift", threshold="25ms"), ["gate"]),
    "a gate takes a name that is waived": (rename_gate("accuracy-kept", "fast"), ["gate"]),
    "a gate is for one model only": (gate_put("fast", model="meter-reader"), ["scope"]),
    "a gate is for one class only": (gate_put("fast", deviceClass="cam-day"), ["scope"]),
    "a gate is for one slice only": (gate_put("fast", slice="night"), ["slice"]),
    "a slice is dropped from its gate": (gate_put("night", slice=None), ["slice"]),
    "the gate of a slice is removed": (drop_gate("night"), ["slice"]),
    "fewer samples": (gate_put("accuracy-kept", minSamples=100), ["min-samples"]),
    "any number of samples": (gate_put("accuracy-kept", minSamples=None), ["min-samples"]),
    "no bound": (gate_put("accuracy-kept", bound=None), ["bound"]),
    "the kind bound": (gate_put("accuracy-kept", bound="upper"), ["bound"]),
    "older evidence": (gate_put("accuracy-kept", maxAge="8d"), ["max-age"]),
    "evidence as old as the tier lets it be": (gate_put("accuracy-kept", maxAge=None), ["max-age"]),
    "a gate that overrides the age of its tier": (gate_put("fast", maxAge="31d"), ["max-age"]),
    "compared with something else": (gate_put("accuracy-kept", relativeTo="superseded"), ["relative-to"]),
    "another metric": (gate_put("fast", metric="p50-latency"), ["metric"]),
    "a tier is removed": (lambda tree: spec(tree, "policies/default.yaml")["tiers"].pop(0) and None, ["tier-removed"]),
    "the policy file is removed": (drop("policies/default.yaml"), ["impact", "tier-removed"]),
    "a step is left out": (put(steps=["5%", "50%", "100%"]), ["steps"]),
    "a step is raised": (put(steps=["10%", "25%", "50%", "100%"]), ["steps"]),
    "a shorter soak": (put(soak="23h"), ["soak"]),
    "a shorter health window": (put(health={"window": "9m", "pollInterval": "5m"}), ["health-window"]),
    "devices ask for news less often": (put(health={"window": "10m", "pollInterval": "6m"}), ["poll-interval"]),
    "older evidence in a tier": (put(evidenceMaxAge="31d"), ["max-age"]),
    "fewer releases stay deployable": (put(deployable=1), ["deployable"]),
    "an older rehearsal": (put(rehearsedWithin="31d"), ["rehearsed-within"]),
    "no rehearsal": (lambda tree: tier(tree).pop("rehearsedWithin") and None, ["rehearsed-within"]),
    "fewer approvals": (put(approvals=[{"role": "ml"}, {"role": "qa"}]), ["approvals"]),
    "approvals of one role only": (put(approvals=[{"role": "ml", "count": 2}]), ["approvals"]),
    "fewer named approvers": (put(namedApprovers=0), ["named-approvers"]),
    "unsigned commits": (put(signedCommits=False), ["signed-commits"]),
    "no checklist": (put(checklist=False), ["checklist"]),
    "a guardrail is removed": (put(guardrails=[]), ["guardrail"]),
    "a guardrail stops later": (guardrail(limit="21%"), ["guardrail"]),
    "a guardrail waits for more devices": (guardrail(minDevices=3), ["guardrail"]),
    "a guardrail only warns": (guardrail(severity="warn"), ["guardrail"]),
    "a guardrail gives up its limit for a margin": (
        lambda tree: (guardrail(margin="1%")(tree), tier(tree)["guardrails"][0].pop("limit")),
        ["guardrail"],
    ),
    "a guardrail is about one error code": (guardrail(metric="error-share", errorCode="load_failed"), ["guardrail"]),
    "harm is seen later": (put(falseHalts="1%"), ["false-halts"]),
    "a revert waits for people": (put(revert="pull-request"), ["revert"]),
    "the controller advances by commit": (put(advance="commit"), ["advance"]),
    "steps on fewer devices": (put(minExposure=0), ["min-exposure"]),
    "no worse is said sooner": (put(falseHalts="10%"), ["false-halts"]),
    "an impact rule is removed": (lambda tree: spec(tree, "policies/default.yaml").update(impact=[]), ["impact"]),
    "an impact rule looks at less": (impact(paths=["controller/muster/agent/agent.py"]), ["impact"]),
    "an impact rule forgets a field": (impact(fields=["spec.inference.input"]), ["impact"]),
    "an impact rule needs something else": (impact(needs="playbook"), ["impact"]),
    "the owners file is removed": (drop("policies/owners.yaml"), ["policy-owners"]),
    "a policy owner is added": (lambda tree: owners(tree).update(policyOwners=["ada", "bo", "cy"]), ["policy-owners"]),
    "a policy owner is removed": (lambda tree: owners(tree).update(policyOwners=["ada"]), ["policy-owners"]),
    "a named approver is added": (lambda tree: owners(tree).update(namedApprovers=["ada", "cy"]), ["approver"]),
    "a person gets a role": (person_put("cy", roles=["ml"]), ["approver"]),
    "a new person has a role": (
        lambda tree: owners(tree)["people"].append({"login": "di", "roles": ["qa"]}),
        ["approver"],
    ),
    "a person gets an address": (person_put("bo", addresses=["cy@fleet.example"]), ["identity"]),
    "a person gets an ssh key": (person_put("bo", sshKeys=["ssh-ed25519 AAAA"]), ["identity"]),
    "a person gets a gpg key": (person_put("bo", gpgKeys=["A" * 40]), ["identity"]),
    "a person gets a gitsign identity": (person_put("bo", gitsign=[{"identity": "x", "issuer": "y"}]), ["identity"]),
    "a person gets an approval key": (person_put("bo", approvalKeys=["test"]), ["identity"]),
    "a path rule is removed": (lambda tree: owners(tree)["paths"].pop(1) and None, ["owners"]),
    "a path is taken out of its rule": (path_rule(1, paths=["releases"]), ["owners"]),
    "a path rule asks fewer roles": (path_rule(1, roles=["ml"]), ["owners"]),
    "a path has more owners": (path_rule(1, owners=["ada", "cy"]), ["owners"]),
    "a path has no owners": (path_rule(0, owners=[]), ["owners"]),
    "a rule only counts for some fields": (path_rule(1, fields=["spec.rollout"]), ["owners"]),
    "a later rule takes a path away": (add_rule(paths=["releases/meter-reader"], owners=["cy"]), ["owners"]),
    "a later rule takes everything": (add_rule(paths=["**"], owners=["cy"]), ["owners"]),
    "a later rule that asks nothing": (add_rule(paths=["policies/*.yaml"]), ["owners"]),
    "path rules in another order": (lambda tree: owners(tree)["paths"].reverse(), ["owners"]),
    "a trust root is added": (copy_file(KEY, "mine", publicKey=OTHER_KEY), ["trust-root"]),
    "a trust root is another key": (spec_put(KEY, publicKey=OTHER_KEY), ["trust-root"]),
    "a trust root is trusted for more": (spec_put(KEY, uses=["artifacts", "evidence"]), ["trust-root"]),
    "a freeze is deleted": (drop(NIGHTS), ["freeze"]),
    "an allowed window is deleted": (drop(DAYS), ["freeze"]),
    "a freeze is shorter": (spec_put(NIGHTS, duration="7h"), ["freeze-duration"]),
    "an allowed window is longer": (spec_put(DAYS, duration="9h"), ["freeze-duration"]),
    "a freeze for fewer models": (spec_put(NIGHTS, models=["counter"]), ["freeze-scope"]),
    "a freeze for some cohorts": (spec_put(NIGHTS, cohorts=["fleet"]), ["freeze-scope"]),
    "a freeze at other times": (spec_put(NIGHTS, cron="0 23 * * *"), ["freeze-schedule"]),
    "a freeze in another time zone": (spec_put(NIGHTS, timeZone="Europe/Berlin"), ["freeze-schedule"]),
    "a freeze that allows": (spec_put(NIGHTS, effect="allow"), ["freeze-allow", "freeze-effect"]),
    "a second allowed window": (copy_file(DAYS, "evenings", cron="0 18 * * *"), ["freeze-allow"]),
    "a freeze that one more may override": (spec_put(NIGHTS, overrideOwners=["ada", "cy"]), ["freeze-override"]),
    "the checklist is removed": (drop(ITEMS), ["checklist-item"]),
    "an item is removed": (item_put(name="other", answeredBy={"approval": "qa"}), ["checklist-item"]),
    "an item spares a tier": (item_put(tiers=["regulated"]), ["checklist-tiers"]),
    "an item is ticked by hand": (item_put(answeredBy={"approval": "qa"}), ["checklist-answer"]),
    "an item is answered by a file": (item_put(answeredBy={"file": "docs/x.md"}), ["checklist-answer"]),
    "an item states something else": (item_put(statement="Fine."), ["checklist-statement"]),
    "an item is asked later": (item_put(stage="post-release"), ["checklist-stage"]),
    "an item is another role's": (item_put(role="ml"), ["checklist-role"]),
    "a waiver is added": (copy_file(WAIVER, "more", gate="night"), ["waiver"]),
    "a waiver lasts longer": (spec_put(WAIVER, expires="2026-01-21"), ["waiver"]),
    "a waiver is for another gate": (spec_put(WAIVER, gate="night"), ["waiver"]),
    "a waiver is for another release": (spec_put(WAIVER, release="meter-reader/2.0.0"), ["waiver"]),
    "a policy test is removed": (drop(TEST), ["policy-test"]),
    "a policy test lets it through": (spec_put(TEST, blocked=False), ["policy-test"]),
    "a policy test expects less": (spec_put(TEST, expect=[]), ["policy-test"]),
    "a policy test is another case": (spec_put(TEST, author="ada"), ["policy-test"]),
    "more storage": (budget(storage="2MiB"), ["budget"]),
    "more memory": (budget(peakRam="65MiB"), ["budget"]),
    "more time to load": (budget(loadTime="1001ms"), ["budget"]),
    "more time to answer": (budget(p95Latency="11ms"), ["budget"]),
    "a class that may be empty": (spec_put(CLASS, mayBeEmpty=True), ["may-be-empty"]),
    "a reference device more": (spec_put(CLASS, referenceDevices=["bench-7"]), ["reference-device"]),
    "a release below the tier of its model": (release_like("2.0.0", "research"), ["tier-lowered"]),
    "a release is put into a lower tier": (spec_put(RELEASE, tier="research"), ["tier-lowered"]),
    "the release that kept the tier is removed": (drop(RELEASE), ["tier-lowered"]),
}

NOT_WEAKER: dict[str, Edit] = {
    "nothing": nobody,
    "the same threshold in another unit": gate_put("fast", threshold="0.02s"),
    "the same share in another unit": gate_put("accuracy-kept", threshold="99%"),
    "a minimum is raised": gate_put("accuracy-kept", threshold="0.995"),
    "a maximum is lowered": gate_put("fast", threshold="19ms"),
    "equality is left out": gate_put("fast", comparator="<"),
    "an exact value within": gate_put("fast", comparator="==", threshold="20ms"),
    "gates in another order": lambda tree: tier(tree)["gates"].reverse(),
    "a gate under another name": rename_gate("accuracy-kept", "accuracy-still-kept"),
    "a stricter gate under another name": rename_gate("accuracy-kept", "accuracy", threshold="0.999"),
    "a gate more": lambda tree: tier(tree)["gates"].append({**gate(tree, "fast"), "name": "more", "slice": "night"}),
    "more samples": gate_put("accuracy-kept", minSamples=251),
    "a bound more": gate_put("fast", bound="upper"),
    "younger evidence": gate_put("accuracy-kept", maxAge="6d"),
    "its own age within that of the tier": gate_put("fast", maxAge="30d"),
    "a finer first step": put(steps=["1%", "25%", "50%", "100%"]),
    "a step more": put(steps=["1%", "5%", "25%", "50%", "100%"]),
    "a longer soak": put(soak="2d"),
    "approvals in another order": put(approvals=[{"role": "qa"}, {"role": "ml", "count": 2}]),
    "more approvals": put(approvals=[{"role": "qa", "count": 2}, {"role": "ml", "count": 2}]),
    "a stricter guardrail": guardrail(limit="10%", minDevices=1),
    "a guardrail against the control too": guardrail(margin="1%"),
    "devices told apart by a label": put(strata=["site"]),
    "another wait for an undecided step": put(longestWait="3d"),
    "an impact rule for more": impact(paths=["controller/**"], fields=["spec"]),
    "tiers in another order": lambda tree: spec(tree, "policies/default.yaml")["tiers"].reverse(),
    "the policy in another file": move("policies/default.yaml", "tiers"),
    "fewer named approvers to ask": lambda tree: owners(tree).update(namedApprovers=[]),
    "a person loses roles": person_put("ada", roles=["policy"], addresses=[]),
    "a new person without any say": lambda tree: owners(tree)["people"].append(
        {"login": "di", "addresses": ["di@fleet.example"]}
    ),
    "a login in other letters": lambda tree: owners(tree).update(policyOwners=["Ada", "BO"]),
    "an owner less for a path": path_rule(0, owners=["ada"]),
    "a role more for a path": path_rule(1, roles=["ml", "qa", "security"]),
    "a wider rule asks the same": path_rule(1, paths=["releases", "devices"]),
    "a later rule that asks more": add_rule(paths=["policies"], owners=["ada"], roles=["policy"]),
    "a rule for paths that ask less already": add_rule(paths=["docs/**"], roles=["qa"]),
    "a trust root is removed": drop(KEY),
    "a longer freeze": spec_put(NIGHTS, duration="9h"),
    "a freeze for all models": spec_put(NIGHTS, models=[]),
    "a freeze that nobody overrides": spec_put(NIGHTS, overrideOwners=[]),
    "a freeze under another name": move(NIGHTS, "quiet"),
    "an allowed window under another name": move(DAYS, "office"),
    "a shorter allowed window": spec_put(DAYS, duration="7h"),
    "a freeze more": copy_file(NIGHTS, "noon", cron="0 12 * * *"),
    "an item for a tier more": item_put(tiers=["research", "production", "regulated"]),
    "an item under another name": item_put(name="artifact"),
    "a waiver is removed": drop(WAIVER),
    "a waiver ends sooner": spec_put(WAIVER, expires="2026-01-10"),
    "a waiver under another name": move(WAIVER, "slower"),
    "a policy test expects more": lambda tree: spec(tree, TEST)["expect"].append(
        {"rule": "gate/p95-latency", "outcome": "pass"}
    ),
    "a policy test more": copy_file(TEST, "another", blocked=False),
    "smaller budgets": budget(storage="1023KiB", p95Latency="9999us"),
    "the same budgets in other units": budget(storage="1024KiB", p95Latency="0.01s"),
    "a release in a higher tier": release_like("2.0.0", "regulated"),
    "a release in the same tier": release_like("2.0.0", "production"),
}


@pytest.mark.parametrize(("edit", "expected"), WEAKER.values(), ids=WEAKER)
def test_what_loosens_is_found(edit: Edit, expected: list[str]) -> None:
    """Each loosening is found under its name, blocks, and says before and after and who could approve it."""
    assert expected == rules(edit)
    for verdict in found(edit):
        assert verdict.blocks
        assert " → " in verdict.message
        assert "ada, bo" in verdict.hint


@pytest.mark.parametrize("edit", NOT_WEAKER.values(), ids=NOT_WEAKER)
def test_what_does_not_loosen_is_not_found(edit: Edit) -> None:
    """Strengthening, another order, another unit and another name are no weakening."""
    assert [verdict.message for verdict in found(edit)] == []


@pytest.mark.parametrize("edit", [edit for edit, _ in WEAKER.values()], ids=WEAKER)
def test_what_stays_is_not_found(edit: Edit) -> None:
    """However weak a fleet is: a change that leaves it so weakens nothing."""
    assert found(nobody, edit) == []


def test_several_loosenings_are_several_findings() -> None:
    """One finding per loosening: a small one does not stand for a large one."""

    def edit(tree: Tree) -> None:
        gate_put("accuracy-kept", threshold="0.5", bound=None, severity="warn")(tree)
        put(soak="1h")(tree)
        drop(NIGHTS)(tree)

    assert rules(edit) == ["bound", "freeze", "severity", "soak", "threshold"]
    assert len(found(edit)) == 5


def test_a_finding_points_at_what_a_reviewer_reads() -> None:
    """The place is the loosened field at the head; of a removed file, the file."""
    (lower,) = found(gate_put("fast", threshold="25ms"))
    assert Pointer("policies/default.yaml", ("spec", "tiers", 0, "gates", 1, "threshold")) == lower.where
    assert lower.message == "tier production, gate fast: threshold: 20ms → 25ms"
    (gone,) = found(drop(NIGHTS))
    assert Pointer(NIGHTS) == gone.where
    assert gone.message == "freeze nights: deny for 8h at 0 22 * * * UTC → nothing"


@pytest.mark.parametrize(
    ("author", "expected"),
    [("CY", "CY asks for this change and would approve it"), ("ada", "added by the change"), (None, "nobody can tell")],
)
def test_an_approver_who_asks_for_the_change_is_named(author: str | None, expected: str) -> None:
    """Whoever needs the approval and adds themselves is called out; an unknown author is never taken for harmless."""

    def edit(tree: Tree) -> None:
        owners(tree)["policyOwners"].append("cy")

    (verdict,) = found(edit, author=author)
    assert expected in verdict.message


def test_the_author_is_not_offered_as_approver() -> None:
    """The author never counts, so the hint does not name them; without anybody else it says so."""
    (verdict,) = found(put(soak="1h"), author="Ada")
    assert verdict.hint.endswith(": bo")

    def alone(tree: Tree) -> None:
        owners(tree)["policyOwners"] = ["ada"]

    (verdict,) = found(put(soak="1h"), alone, author="ada")
    assert "names no policy owner" in verdict.hint


def test_owners_that_the_head_names_do_not_approve() -> None:
    """The base judges the head: a change that replaces the owners is lifted by the old ones."""

    def edit(tree: Tree) -> None:
        owners(tree)["policyOwners"] = ["cy"]

    (verdict,) = found(edit, author=None)
    assert verdict.hint.endswith(": ada, bo")


def test_a_widened_release_below_its_model_is_found() -> None:
    """A release from before the model was regulated does not creep over the fleet under the old rules."""

    def widen(tree: Tree) -> None:
        spec(tree, RELEASE)["rollout"] = {"cohorts": {"fleet": "100%"}}

    def narrow(tree: Tree) -> None:
        spec(tree, RELEASE)["rollout"] = {"cohorts": {"fleet": "5%"}}

    regulated = release_like("2.0.0", "regulated")
    assert rules(widen, regulated) == ["tier-lowered"]
    assert rules(narrow, regulated) == []


def test_a_frozen_cohort_that_goes_is_found() -> None:
    """A freeze of a cohort is not escaped by giving the cohort another name."""

    def freeze(tree: Tree) -> None:
        spec(tree, NIGHTS)["cohorts"] = ["fleet"]

    (verdict,) = found(move("devices/cohorts/fleet.yaml", "everybody"), freeze)
    assert verdict.rule == "weakening/freeze-scope"
    assert verdict.subject == "devices/cohorts/fleet.yaml"


def test_a_second_entry_for_a_person_adds_to_the_first() -> None:
    """Keys cannot be slipped in under a login that stands there already."""

    def edit(tree: Tree) -> None:
        owners(tree)["people"].append({"login": "ADA", "roles": ["security"], "sshKeys": ["ssh-ed25519 AAAA"]})

    assert rules(edit) == ["approver", "identity"]


def test_a_key_file_beside_the_declared_keys_is_a_trust_root() -> None:
    """Keys that are no YAML are trusted by their path: a new or another one is a weakening, a removed one is not."""
    path = "policies/keys/ada.asc"
    for before, after, expected in ((None, "b", 1), ("a", "b", 1), ("a", None, 0)):
        change = change_of(nobody, touched=(Touched(path, before, after),))
        assert expected == len(list(weakenings(change, "cy")))


@pytest.mark.parametrize("less", [drop(KEY), spec_put(KEY, uses=["artifacts"])], ids=["removed", "another use"])
def test_a_key_that_signed_evidence_is_missed(less: Edit) -> None:
    """Without it, a bad rebuild that it signed would be a stranger's word."""
    start = guarded()
    spec_put(KEY, uses=["evidence"])(start)
    end = copy.deepcopy(start)
    less(end)
    if KEY in end:
        spec_put(KEY, uses=["evidence", "artifacts"])(start)
    found = list(weakenings(difference(fleet_of(start), fleet_of(end), ()), "cy"))
    assert [(one.rule, "trusted for evidence → nothing" in one.message) for one in found] == [
        ("weakening/trust-root", True)
    ]


def test_a_policy_test_that_nobody_read_counts_by_its_file() -> None:
    """Where a test was not parsed, any difference of its file counts as weaker; a new file does not."""
    path = "policies/tests/unread.yaml"
    for before, after, expected in (("a", "b", 1), ("a", None, 1), (None, "b", 0)):
        change = change_of(nobody, touched=(Touched(path, before, after),))
        assert expected == len(list(weakenings(change, "cy")))


def test_no_owners_file_yet_loosens_nothing() -> None:
    """The first owners file, checklist or freeze only adds."""
    start = guarded()
    for path in ("policies/owners.yaml", ITEMS, NIGHTS, DAYS):
        del start[path]
    assert list(weakenings(difference(fleet_of(start), fleet_of(guarded()), ()), "cy")) == []


@pytest.mark.parametrize(
    ("approved_by", "needed", "lifted"),
    [
        (("ada",), 1, True),
        (("ada", "bo"), 2, True),
        (("ada", "ADA"), 2, False),
        (("ada",), 2, False),
        ((), 1, False),
        ((), 0, False),
    ],
)
def test_enough_different_people_lift_weakenings(approved_by: tuple[str, ...], needed: int, lifted: bool) -> None:
    """Approvals are counted by person; nobody's approval never lifts, whatever is asked."""
    verdicts = lift_weakenings(found(put(soak="1h", deployable=0)), approved_by, needed)
    assert len(verdicts) == 2
    assert ["pass" if lifted else "fail"] * 2 == [verdict.outcome for verdict in verdicts]
    assert lifted == all("approved by ada" in verdict.message for verdict in verdicts)
    assert not lifted or not any(verdict.blocks for verdict in verdicts)


def test_only_weakenings_are_lifted() -> None:
    """An approval of a weakening lets no gate pass."""
    (verdict,) = found(put(soak="1h"))
    other = type(verdict)("gate/accuracy", "meter-reader/1.0.0", "fail", "worse")
    assert (other,) == lift_weakenings([other], ("ada",), 1)


def test_hostile_text_stays_out_of_messages() -> None:
    """Declared texts are cut and escaped before they stand in a message."""
    (verdict,) = found(item_put(statement="\x1b[2J\u202e" + "x" * 1_500))
    assert verdict.message.isprintable()
    assert len(verdict.message) < 400


THREE_OF_THEM = {"rebuilders": ("a", "b", "c"), "agreeing": 3}
REBUILDERS = {
    "the same in another order": (THREE_OF_THEM, {"rebuilders": ("c", "a", "b"), "agreeing": 3}, []),
    "fewer may count": (THREE_OF_THEM, {"rebuilders": ("a", "b"), "agreeing": 3}, []),
    "others may count": (THREE_OF_THEM, {"rebuilders": ("a", "b", "d"), "agreeing": 3}, ["rebuilders"]),
    "anybody may count": (THREE_OF_THEM, {"agreeing": 3}, ["rebuilders"]),
    "fewer must agree": (THREE_OF_THEM, {**THREE_OF_THEM, "agreeing": 2}, ["agreeing"]),
    "nobody says how many": (THREE_OF_THEM, {**THREE_OF_THEM, "agreeing": None}, ["agreeing"]),
    "two is what nobody said": ({"agreeing": 2}, {}, []),
    "only some may count": ({}, THREE_OF_THEM, []),
}


@pytest.mark.parametrize("name", REBUILDERS)
def test_who_must_agree(name: str) -> None:
    """More who may count, and fewer who must, let through what was stopped."""
    old, new, expected = REBUILDERS[name]
    level = Gate(name="level", metric="reproducibility", comparator=">=", threshold="3")
    assert expected == [
        one.what for one in looser_gate(level.model_copy(update=old), level.model_copy(update=new), None, None)
    ]

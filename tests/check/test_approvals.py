"""approvals: whose count, for what they are needed, and what is said where they are missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleets import MODEL, make_release
from muster.check.approvals import approval_verdicts, needed_approvals, policy_approval
from muster.check.case import Case
from muster.check.verdict import Verdict
from muster.kinds.pull_request import CommitSignature, ProposedCommit
from reviewed_cases import (
    OLDER,
    PEOPLE,
    approval,
    make_base,
    make_case,
    make_owners,
    make_tiers,
    with_inference,
    with_releases,
)

POLICIES = {"paths": ["policies"], "owners": ["sam", "pia"]}
ASKS = {"production": {"approvals": [{"role": "ml"}, {"role": "firmware"}]}}
OLD = make_release("1.0.0", {"fleet": "100%"})
NEW = make_release("1.1.0", {"canary": "5%"}, supersedes="1.0.0")
BAD = Verdict("weakening/threshold", "policies/default.yaml", "fail", "99% → 90%")


def judged(case: Case, weakenings=False) -> dict[str, Verdict]:
    """Verdicts by rule and message's beginning, which must be unique."""
    verdicts = list(approval_verdicts(case, needed_approvals(case, weakenings)))
    found = {f"{verdict.rule} {verdict.message.partition(':')[0]}": verdict for verdict in verdicts}
    assert len(verdicts) == len(found)
    return found


def outcomes(case: Case, weakenings=False) -> dict[str, str]:
    """Outcome by rule and what is asked for."""
    return {name: verdict.outcome for name, verdict in judged(case, weakenings).items()}


def policy_case(*approvals, **request) -> Case:
    """A change of policies/default.yaml."""
    return make_case(
        make_base(owners=make_owners(paths=[POLICIES])),
        None,
        *approvals,
        touched=["policies/default.yaml"],
        **request,
    )


def promotion(*approvals, policy=None, owners=None, release=NEW, **request) -> Case:
    """A release that is added and reaches devices."""
    base = make_base(OLD, owners=owners or make_owners(), policy=policy or make_tiers(**ASKS))
    return make_case(base, with_releases(base, release), *approvals, **request)


PATH = "approval/path an owner of policies/default.yaml"
COMMITS = {
    "by login": ProposedCommit(OLDER, "sam"),
    "by login in capitals": ProposedCommit(OLDER, "SAM"),
    "by address": ProposedCommit(OLDER, "Sam@Fleet.Example"),
    "signed by": ProposedCommit(OLDER, "nobody-here", CommitSignature("good", "ssh", "sam")),
}


WHOSE = {
    "nobody approved": (policy_case(), "fail"),
    "an owner approved": (policy_case("sam"), "pass"),
    "logins are compared without case": (policy_case("SAM"), "pass"),
    "somebody who is no owner approved": (policy_case("ada"), "fail"),
    "somebody whom the base does not know approved": (policy_case("mallory"), "fail"),
    "a bot approved": (policy_case("sam[bot]", "renovate[bot]"), "fail"),
    "a look-alike approved": (policy_case("\N{LATIN SMALL LETTER LONG S}am"), "fail"),
    "an address is no login": (policy_case("sam@fleet.example"), "fail"),
    "an older commit was approved": (policy_case(approval("sam", commit=OLDER)), "fail"),
    "both commits were approved": (policy_case(approval("sam", commit=OLDER), "sam"), "pass"),
    "something else was approved": (policy_case(approval("sam", "freeze/easter")), "fail"),
    "the author approved": (policy_case("sam", author="Sam"), "fail"),
    "the author approved by an address": (policy_case("sam", author="sam@fleet.example"), "fail"),
    "another owner than the author approved": (policy_case("pia", author="sam"), "pass"),
    **{
        f"who approved wrote a commit, {name}": (policy_case("sam", commits=(commit,)), "fail")
        for name, commit in COMMITS.items()
    },
    "no forge was asked": (policy_case("sam", forge=""), "inconclusive"),
    "nobody knows the author": (policy_case("sam", author=None), "inconclusive"),
    "nobody knows the author's address": (policy_case("sam", author="me@home.example"), "inconclusive"),
    "nobody knows whose commit it is": (
        policy_case("sam", commits=(ProposedCommit(OLDER, "me@home.example"),)),
        "inconclusive",
    ),
    "a signature says whose commit it is": (
        policy_case("sam", commits=(ProposedCommit(OLDER, "me@home.example", CommitSignature("good", "gpg", "ada")),)),
        "pass",
    ),
    "a bad signature says nothing": (
        policy_case("sam", commits=(ProposedCommit(OLDER, "me@home.example", CommitSignature("bad", "gpg", "ada")),)),
        "inconclusive",
    ),
}


@pytest.mark.parametrize(("case", "expected"), WHOSE.values(), ids=WHOSE.keys())
def test_whose_approval_counts(case, expected):
    """People of the base who approved exactly the head and wrote none of it; what is unknown is not absent."""
    assert {PATH: expected} == outcomes(case)


def test_the_base_judges_the_head():
    """Whom the head adds as owner cannot approve; whom the head removes still can."""
    base = make_base(owners=make_owners(paths=[POLICIES]))
    everybody = make_owners(PEOPLE | {"eve": ["policy"]}, paths=[], policy=["eve"])
    head = replace(base, owners=everybody)
    assert outcomes(make_case(base, head, "eve", touched=["policies/default.yaml"])) == {PATH: "fail"}
    assert outcomes(make_case(base, head, "pia", touched=["policies/default.yaml"])) == {PATH: "pass"}


@pytest.mark.parametrize(
    ("touched", "expected"),
    [
        (["docs/a.md"], []),
        (["policies/default.yaml"], ["an owner of policies/default.yaml"]),
        (["policies/keys/a.yaml"], ["security for policies/keys/a.yaml"]),
        (["policies/tests/a.yaml"], []),
        (["policiesx/a.yaml"], []),
        (["policies/a.yaml", "policies/b.yaml"], ["an owner of policies/a.yaml, policies/b.yaml"]),
        (
            ["policies/a.yaml", "policies/keys/a.yaml"],
            ["an owner of policies/a.yaml", "security for policies/keys/a.yaml"],
        ),
    ],
)
def test_the_last_entry_that_matches_a_path_counts(touched, expected):
    """As in CODEOWNERS; an entry without owners asks nobody."""
    entries = [POLICIES, {"paths": ["policies/keys"], "roles": ["security"]}, {"paths": ["policies/tests"]}]
    case = make_case(make_base(owners=make_owners(paths=entries)), touched=touched)
    assert expected == [needed.what for needed in needed_approvals(case, weakenings=False)]


def test_ten_thousand_paths_are_one_approval():
    """What is asked for stays readable, however much a change touches."""
    case = make_case(
        make_base(owners=make_owners(paths=[POLICIES])), touched=[f"policies/tests/{n}.yaml" for n in range(10_000)]
    )
    (needed,) = needed_approvals(case, weakenings=False)
    assert needed.what.endswith("and 9997 more")


TIER = f"for {MODEL}/1.1.0 (production)"


def test_tiers_ask_by_role():
    """One person answers for one role of the tier, whatever roles they have."""
    assert {f"approval/role ml {TIER}": "pass", f"approval/role firmware {TIER}": "fail"} == outcomes(
        promotion("grace")
    )
    both = {f"approval/role ml {TIER}": "pass", f"approval/role firmware {TIER}": "pass"}
    assert both == outcomes(promotion("grace", "linus"))
    assert both == outcomes(promotion("ada", "grace"))
    assert {f"approval/role ml {TIER}": "fail", f"approval/role firmware {TIER}": "pass"} == outcomes(
        promotion("linus")
    )


def test_a_change_that_only_takes_back_asks_no_tier():
    """Whoever is on call can take a release back: tiers ask for approvals of what reaches more devices."""
    wide = make_release("1.1.0", {"fleet": "100%"}, supersedes="1.0.0")
    base = make_base(OLD, wide, owners=make_owners(), policy=make_tiers(**ASKS))
    back = make_release("1.1.0", {"fleet": "0%"}, supersedes="1.0.0")
    assert outcomes(make_case(base, with_releases(base, back))) == {}


def test_regulated_releases_need_named_approvers():
    """Beside roles; only those that the owners name, and as many of them as the tier says."""
    release = make_release("1.1.0", {"canary": "5%"}, supersedes="1.0.0", tier="regulated")
    policy = make_tiers(regulated={"namedApprovers": 2})
    named = f"approval/named named approver of {MODEL}/1.1.0 (regulated)"
    assert {named: "fail"} == outcomes(promotion("rita", "sam", policy=policy, release=release))
    assert {named: "pass"} == outcomes(promotion("rita", "pia", policy=policy, release=release))
    alone = judged(promotion("pia", author="rita", policy=policy, release=release))[named]
    assert alone.outcome == "fail"
    assert "name more people in policies/owners.yaml" in alone.hint


def test_inference_needs_two_roles():
    """Two people of two roles must look at a release that infers otherwise than the one before."""
    release = with_inference(NEW, confidence="70%")
    two = f"approval/inference two roles for the inference of {MODEL}/1.1.0"

    def said(*approvals: str) -> dict[str, str]:
        return outcomes(promotion(*approvals, policy=make_tiers(), release=release))

    assert {two: "fail"} == said("ada")
    assert {two: "fail"} == said("grace")
    assert {two: "pass"} == said("ada", "grace")
    assert {two: "pass"} == said("ada", "linus")
    people = {"ada": ["ml"], "mel": ["ml"], "linus": ["firmware"]}
    owners = make_owners(people, policy=["ada"], named=[])
    assert {two: "fail"} == outcomes(promotion("ada", "mel", policy=make_tiers(), owners=owners, release=release))
    assert outcomes(promotion(policy=make_tiers())) == {}


def test_inference_of_research_is_only_shown():
    """Two reviewers beside the author are more than a new team has: below production their absence warns."""
    old, new = (make_release(version, {"canary": "5%"}, tier="research") for version in ("1.0.0", "1.1.0"))
    base = make_base(old, owners=make_owners(), policy=make_tiers())
    case = make_case(base, with_releases(base, old, with_inference(new, confidence="70%")), "ada")

    found = [verdict for verdict in judged(case).values() if verdict.rule == "approval/inference"]

    assert [(one.outcome, one.blocks, one.warns) for one in found] == [("fail", False, True)]


def test_what_a_release_says_it_supersedes_hides_nothing():
    """A release that infers otherwise than what devices run is looked at, even if it names an older one like itself."""
    strict = with_inference(NEW, confidence="70%")
    base = make_base(OLD, strict, owners=make_owners())
    newest = make_release("1.2.0", {"canary": "5%"}, supersedes="1.0.0")
    case = make_case(base, with_releases(base, newest))
    assert {f"approval/inference two roles for the inference of {MODEL}/1.2.0": "fail"} == outcomes(case)


FIELDS = {"paths": ["releases"], "fields": ["spec.inference"], "roles": ["ml", "firmware"]}
RELEASES = {"paths": ["releases"], "roles": ["release"]}


def test_fields_ask_in_addition():
    """Owners of a field are asked where it differs from what it supersedes, and owners of the path all the same."""
    owners = make_owners(paths=[RELEASES, FIELDS])

    def asked(release) -> list[str]:
        case = promotion(policy=make_tiers(), owners=owners, release=release, touched=[release.path])
        return [needed.what for needed in needed_approvals(case, weakenings=False)]

    path = f"releases/{MODEL}/1.1.0.yaml"
    assert [f"release for {path}"] == asked(NEW)
    assert [
        f"release for {path}",
        f"ml for spec.inference of {path}",
        f"firmware for spec.inference of {path}",
    ] == asked(with_inference(NEW, confidence="70%"))


def test_a_weakening_needs_a_policy_owner():
    """However many weakenings, one policy owner of the base who is not the author approves them."""
    base = make_base(owners=make_owners())
    (needed,) = needed_approvals(make_case(base), [BAD, BAD])
    assert (
        needed.what,
        needed.by,
        needed.count,
        needed.given,
    ) == ("a policy owner for 2 weakenings", ("pia", "sam"), 1, ())
    policy = policy_approval(needed_approvals(make_case(base, None, "ada", "pia", author="sam"), weakenings=True))
    assert policy is not None
    assert (policy.by, policy.given, policy.complete) == (("pia",), ("pia",), True)
    assert policy_approval(needed_approvals(make_case(base), ())) is None


def test_a_lower_tier_needs_a_policy_owner():
    """A release below the tier of its model is held to that tier until a policy owner approves."""
    lower = make_release("1.1.0", {"canary": "5%"}, supersedes="1.0.0", tier="research")
    waiting = {
        "approval/policy a policy owner for the lower tier of meter-reader/1.1.0": "fail",
        "approval/tier meter-reader/1.1.0 is research, below the production of meter-reader": "fail",
        f"approval/role ml {TIER}": "fail",
        f"approval/role firmware {TIER}": "fail",
    }
    assert waiting == outcomes(promotion(release=lower))
    assert {"pass"} == set(outcomes(promotion("sam", release=lower)).values())
    unknown = judged(promotion("sam", release=lower, forge=""))
    assert {"inconclusive"} == {verdict.outcome for verdict in unknown.values()}
    assert all(verdict.blocks for verdict in unknown.values())


def test_a_higher_tier_needs_nobody():
    """A release may raise its tier."""
    assert outcomes(promotion(release=make_release("1.1.0", {}, supersedes="1.0.0", tier="regulated"))) == {}


def test_a_lower_tier_is_noticed_when_pins_are_edited():
    """A merged release cannot slip below its model either."""
    base = make_base(OLD, make_release("0.9.0", {}), owners=make_owners())
    case = make_case(base, with_releases(base, make_release("0.9.0", {}, tier="research")))
    assert "approval/tier meter-reader/0.9.0 is research, below the production of meter-reader" in outcomes(case)


def test_a_tier_that_the_base_does_not_have():
    """Nobody can tell what it needs: an error, with the way out."""
    policy = make_tiers()
    known = policy.spec.model_copy(update={"tiers": policy.spec.tiers[:2]})
    base = make_base(OLD, owners=make_owners(), policy=policy.model_copy(update={"spec": known}))
    release = make_release("1.1.0", {}, supersedes="1.0.0", tier="regulated")
    (verdict,) = judged(make_case(base, with_releases(base, release))).values()
    assert (verdict.rule, verdict.outcome, verdict.blocks) == ("approval/role", "error", True)


def test_without_owners_nobody_can_approve():
    """A base without owners approves nothing, and says what to do."""
    base = make_base(OLD, policy=make_tiers(**ASKS))
    found = judged(make_case(base, with_releases(base, NEW), "ada"), weakenings=True)
    assert {"fail"} == {verdict.outcome for verdict in found.values()}
    assert all("policies/owners.yaml" in verdict.hint for verdict in found.values())


def test_the_hint_names_who_could_approve():
    """Who may, without those who wrote it or approved already; an approval that died is named."""
    verdict = judged(policy_case(approval("sam", commit=OLDER)))[PATH]
    assert "sam approved an older commit" in verdict.message
    assert "could approve: pia, sam" in verdict.hint
    assert "could approve: pia" in judged(policy_case(author="sam"))[PATH].hint


def test_unknown_approvals_name_a_forge():
    """Where nobody was asked, the hint says whom to ask."""
    verdict = judged(policy_case("sam", forge=""))[PATH]
    assert verdict.blocks
    assert "--github" in verdict.hint
    assert "--approvals git" in verdict.hint


def test_unknown_approvals_of_research_do_not_block():
    """What is at stake is the releases that the paths declare."""
    research = make_release("1.0.0", {"fleet": "100%"}, tier="research")
    base = make_base(research, owners=make_owners(paths=[RELEASES]))
    head = with_releases(base, make_release("1.0.0", {"fleet": "50%"}, tier="research"))
    (verdict,) = judged(make_case(base, head, touched=[research.path], forge="")).values()
    assert (verdict.outcome, verdict.tier, verdict.blocks) == ("inconclusive", "research", False)
    (mixed,) = judged(make_case(base, head, touched=[research.path, "releases/a.txt"], forge="")).values()
    assert (mixed.tier, mixed.blocks) == (None, True)


SIGNED = make_tiers(production={"signedCommits": True})
GOOD = ProposedCommit(OLDER, "ada", CommitSignature("good", "ssh", "ada"))


def signatures(*commits: ProposedCommit, **request) -> list[tuple[str, str]]:
    """(outcome, subject) of the verdicts on signatures."""
    case = promotion(policy=SIGNED, commits=commits, **request)
    verdicts = approval_verdicts(case, needed_approvals(case, weakenings=False))
    return [(one.outcome, one.subject) for one in verdicts if one.rule == "approval/signature"]


@pytest.mark.parametrize(
    ("signature", "outcome"),
    [
        (CommitSignature("unsigned"), "fail"),
        (CommitSignature("bad", "ssh", "ada"), "fail"),
        (CommitSignature("unknown-key", "gpg"), "fail"),
        (CommitSignature("unreadable", "gitsign", reason="no certificate"), "error"),
        (CommitSignature("good", "ssh", "mallory"), "fail"),
        (CommitSignature("good", "ssh"), "fail"),
    ],
)
def test_each_commit_must_be_signed_where_the_tier_asks(signature, outcome):
    """A verdict for each commit that is not signed by a person of the base, and none for the others."""
    other = ProposedCommit("d" * 40, "ada", signature)
    assert [(outcome, "d" * 12)] == signatures(GOOD, other)


def test_signed_commits_pass():
    """One verdict says that all are signed; a tier that does not ask has none; without commits nobody knows."""
    assert signatures(GOOD, replace(GOOD, commit="e" * 40)) == [("pass", "b" * 12)]
    assert signatures(forge="") == [("inconclusive", "b" * 12)]
    case = promotion("ada", "linus", commits=(ProposedCommit(OLDER, "nobody-here"),))
    assert all(verdict.rule != "approval/signature" for verdict in judged(case).values())

"""Approvals: whether everybody whose approval the base asks for has given it, for exactly this head.

What approvals are needed stands in `approval_rules`, whose approvals count in `approvers`. An approval that nobody
could tell of is unknown, not absent: inconclusive, never a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from muster.check.approval_rules import ApprovalRule, approval_rules
from muster.check.case import Case
from muster.check.change import tier_rank
from muster.check.judgement import NeededApproval
from muster.check.people import OWNERS
from muster.check.signed_commits import signature_verdicts
from muster.check.slots import filled
from muster.check.stakes import declared_tier, lowered, tier_held_to
from muster.check.verdict import Outcome, Verdict
from muster.kinds.finding import Pointer
from muster.kinds.release import Release

POLICY = "approval/policy"
ASK_A_FORGE = "let a forge say who approved: `muster check --github`, or `muster check --approvals git`"
NAME_THE_AUTHOR = f"write the author's address into {OWNERS} in a change of its own, or sign the commits"
_SHOWN = 8


def needed_approvals(case: Case, weakenings: bool | Sequence[Verdict]) -> tuple[NeededApproval, ...]:
    """Every approval that the change needs, with who may give it and who has. Authors are in neither."""
    return tuple(needed for rule in approval_rules(case, weakenings) for needed in _needed(case, rule))


def policy_approval(needed: Sequence[NeededApproval]) -> NeededApproval | None:
    """The approval by policy owners, which lifts every weakening; None if nothing asks for it."""
    return next((one for one in needed if one.rule == POLICY), None)


def approval_verdicts(case: Case, needed: Sequence[NeededApproval]) -> Iterator[Verdict]:
    """One verdict per needed approval, per lowered tier, per tier that the base does not know, per unsigned commit."""
    for one in needed:
        yield _verdict(case, one)
    policy = policy_approval(needed)
    if policy is not None:
        for release in lowered(case):
            yield _lowered_verdict(case, release, policy)
    for release in case.change.judged:
        if declared_tier(case.change.base, tier_held_to(case, release)) is None:
            yield _unknown_tier(case, release)
    yield from signature_verdicts(case)


def _needed(case: Case, rule: ApprovalRule) -> Iterator[NeededApproval]:
    groups = [group for _, group in rule.groups]
    everybody = frozenset[str]().union(*(slot for group in groups for slot in group.slots))
    able = everybody - (case.reviews.authors or frozenset())
    given = filled(groups, case.reviews.approvers() & everybody)
    possible = filled(groups, able)
    for (what, group), by, could in zip(rule.groups, given, possible, strict=True):
        yield NeededApproval(
            what=what,
            by=tuple(login for login in group.by if login in able),
            count=group.count,
            given=by,
            rule=rule.rule,
            subject=rule.subject,
            tier=rule.tier,
            why=rule.why,
            possible=len(could) >= group.count,
        )


def _verdict(case: Case, needed: NeededApproval) -> Verdict:
    outcome, message, hint = _answer(case, needed)
    # Two reviewers beside the author are more than a new team has, and of a research release nothing depends.
    small = needed.rule == "approval/inference" and needed.tier == "research"
    return Verdict(
        severity="warn" if small else "block",
        rule=needed.rule,
        subject=needed.subject,
        outcome=outcome,
        message=message,
        hint=hint,
        tier=needed.tier,
        measured=str(len(needed.given)),
        threshold=f">= {needed.count}",
        where=Pointer(needed.subject) if needed.rule in ("approval/path", "approval/field") else None,
    )


def _answer(case: Case, needed: NeededApproval) -> tuple[Outcome, str, str]:
    if needed.complete:
        return "pass", f"{needed.what}: approved by {', '.join(needed.given)}", ""
    if not case.request.forge:
        return "inconclusive", f"{needed.what}: nobody said who approved", f"{_who(needed)}; {ASK_A_FORGE}"
    if case.reviews.authors is None:
        message = f"{needed.what}: nobody can tell who wrote this change, so no approval counts"
        return "inconclusive", message, NAME_THE_AUTHOR
    missing = needed.count - len(needed.given)
    so_far = f" (so far {', '.join(needed.given)})" if needed.given else ""
    message = f"{needed.what}: {missing} more {'approval is' if missing == 1 else 'approvals are'} needed{so_far}"
    older = [login for login in case.reviews.outdated() if login in needed.by]
    if older:
        message += f"; {', '.join(older[:_SHOWN])} approved an older commit, which does not count"
    return "fail", message, _who(needed)


def _who(needed: NeededApproval) -> str:
    """Who could approve, and what to do if they are too few."""
    open_to = [login for login in needed.by if login not in needed.given]
    more = f" and {len(open_to) - _SHOWN} more" if len(open_to) > _SHOWN else ""
    names = ", ".join(open_to[:_SHOWN]) + more
    why = f" ({needed.why})" if needed.why else ""
    if needed.possible:
        return f"could approve: {names}{why}"
    few = f"only {names} could" if names else "nobody could"
    return f"{few}: authors never count, and nobody counts twice; name more people in {OWNERS}, in a change before{why}"


def _lowered_verdict(case: Case, release: Release, policy: NeededApproval) -> Verdict:
    of_model = case.change.base_tiers.get(release.model)
    below = f"{release.name} is {release.spec.tier}, below the {of_model} of {release.model}"
    asked = _verdict(case, policy)
    approved = f"{below}: approved by {', '.join(policy.given)}"
    return replace(
        asked,
        rule="approval/tier",
        subject=release.name,
        message=approved if policy.complete else f"{below}: a policy owner must approve that",
        hint="" if policy.complete else f'write "tier: {of_model}"; or {asked.hint}',
        tier=of_model,
        measured=release.spec.tier,
        threshold=f">= {of_model}",
        where=Pointer(release.path, ("spec", "tier")),
    )


def _unknown_tier(case: Case, release: Release) -> Verdict:
    tier = tier_held_to(case, release)
    known = sorted({one.name for policy in case.change.base.policies for one in policy.spec.tiers}, key=tier_rank)
    return Verdict(
        rule="approval/role",
        subject=release.name,
        outcome="error",
        message=f"the base declares no tier {tier}, so nobody can tell what {release.name} needs",
        hint=f"merge the tier first, in a change of its own; the base has {', '.join(known) or 'none'}",
        tier=tier,
        where=Pointer(release.path, ("spec", "tier")),
    )

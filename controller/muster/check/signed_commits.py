"""Signed commits, where the tier of what a change brings forward asks for them."""

from __future__ import annotations

from collections.abc import Iterator

from muster.check.case import Case
from muster.check.change import tier_rank
from muster.check.stakes import declared_tier, tier_held_to
from muster.check.verdict import Outcome, Verdict
from muster.kinds.policy import TierName
from muster.kinds.pull_request import CommitSignature, ProposedCommit

RULE = "approval/signature"
_HINT = "sign it (`git commit -S`) with a key that policies/owners.yaml of the base gives its author, and push again"
_SAID: dict[str, tuple[Outcome, str]] = {
    "bad": ("fail", "the signature of {commit} is not its own"),
    "unknown-key": ("fail", "{commit} is signed with a key of nobody that the base names"),
    "unsigned": ("fail", "{commit} is not signed"),
    "unreadable": ("error", "the signature of {commit} cannot be read"),
}


def signature_verdicts(case: Case) -> Iterator[Verdict]:
    """A verdict per commit whose signature is not good and by a person of the base; one `pass` if all are."""
    tier = _asking(case)
    if tier is None:
        return
    commits = case.request.commits
    if not commits:
        message = f"{tier} asks for signed commits, and nobody said which commits these are"
        hint = "let `muster check --github`, or `muster check --approvals git`, read them"
        yield Verdict(RULE, case.request.head[:12], "inconclusive", message, hint, tier=tier)
        return
    bad = [verdict for commit in commits if (verdict := _verdict(case, commit, tier))]
    yield from bad
    if not bad:
        names = sorted({commit.signature.by for commit in commits if commit.signature.by})
        message = f"every commit ({len(commits)}) is signed, by {', '.join(names)}"
        yield Verdict(RULE, case.request.head[:12], "pass", message, tier=tier)


def _asking(case: Case) -> TierName | None:
    """The highest tier among those that ask for signatures here."""
    base = case.change.base
    tiers = [declared_tier(base, tier_held_to(case, release)) for release in case.change.judged]
    return max((tier.name for tier in tiers if tier and tier.signed_commits), key=tier_rank, default=None)


def _verdict(case: Case, commit: ProposedCommit, tier: TierName) -> Verdict | None:
    signature = commit.signature
    if signature.state == "good" and case.reviews.person(signature.by or "") is not None:
        return None
    outcome, message = _SAID["unknown-key" if signature.state == "good" else signature.state]
    return Verdict(
        RULE,
        commit.commit[:12],
        outcome,
        message.format(commit=commit.commit[:12]) + _reason(signature),
        _HINT,
        tier=tier,
    )


def _reason(signature: CommitSignature) -> str:
    return f": {signature.reason}" if signature.reason else ""

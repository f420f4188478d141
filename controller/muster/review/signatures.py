"""Who signed the proposed commits, by the keys that the base declares. Only where a tier of the base asks for it."""

from __future__ import annotations

from dataclasses import replace

from muster.check.change import Change
from muster.kinds.errors import MusterError
from muster.kinds.pull_request import CommitSignature, ProposedCommit, PullRequest
from muster.source.git import Repository

_KEYS = "policies/keys"


def with_signatures(repository: Repository, request: PullRequest, change: Change, judged_by: str) -> PullRequest:
    """The request with what every commit's signature is worth, if anything that moves devices needs signed commits."""
    tiers = [tier for policy in change.base.policies for tier in policy.spec.tiers]
    if not change.judged or not any(tier.signed_commits for tier in tiers):
        return request
    from muster.attest.commit_signatures import commit_signature
    from muster.attest.signers import LARGEST_FILE, is_key_file, signers_of

    entries = [
        entry
        for entry in repository.tree(judged_by, [_KEYS])
        if is_key_file(entry.path) and entry.mode.startswith("100") and entry.size <= LARGEST_FILE
    ]
    contents = repository.blobs(entry.blob for entry in entries)
    signers = signers_of(change.base.owners, {entry.path: contents[entry.blob] for entry in entries})

    def looked_at(commit: ProposedCommit) -> ProposedCommit:
        try:
            signature = commit_signature(repository.raw_commit(commit.commit), signers)
        except MusterError as error:
            signature = CommitSignature("unreadable", reason=error.message)
        return replace(commit, signature=signature)

    return replace(request, commits=tuple(looked_at(commit) for commit in request.commits))

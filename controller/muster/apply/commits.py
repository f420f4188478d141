"""Commits of the controller: signed with its key, and told to the ledger once a branch holds them.

Not before: a commit names the newest digest of the ledger, so that an entry for each attempt while git is away would
make each attempt another commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from muster.apply.key_watch import KeyUse, KeyWatch
from muster.attest.keys import key_id, public_half
from muster.attest.ssh_signing import signed_commit
from muster.kinds.digest import digest_of
from muster.source.git import Repository


@dataclass(frozen=True)
class CommitSigner:
    """`private_key_pem` is the key that signs artifacts; `watch` is told of each use."""

    private_key_pem: bytes
    watch: KeyWatch

    def sign(self, repository: Repository, commit: str) -> str:
        """The same commit with a signature, on no branch. Raises `Unusable`, `TryAgain`."""
        return repository.store_commit(signed_commit(repository.raw_commit(commit), self.private_key_pem))

    def pushed(self, commit: str, now: datetime) -> None:
        """Tell of the use: the signed commit is on a branch."""
        key = key_id(public_half(self.private_key_pem))
        self.watch(KeyUse(key, "commits", commit, digest_of(commit.encode())), now)

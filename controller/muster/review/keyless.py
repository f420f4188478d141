"""Whose Sigstore certificates a commit trusts: its identities, and the trusted root that it pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from muster.kinds.trusted_identity import IdentityUse
from muster.source.git import Repository

if TYPE_CHECKING:
    from muster.attest.keyless import Keyless
    from muster.kinds.fleet import Fleet


def keyless_of(repository: Repository, commit: str, fleet: Fleet, use: IdentityUse) -> Keyless:
    """The identities of a fleet for a use, with the trusted root of `commit`, which declares the fleet.

    A root that is a link, or too large, is none: what would be believed by it is not.
    """
    from muster.attest.keyless import NOBODY, Keyless
    from muster.attest.signers import LARGEST_FILE, TRUSTED_ROOT

    identities = fleet.identities_for(use)
    if not identities:
        return NOBODY
    entries = [
        entry
        for entry in repository.tree(commit, [TRUSTED_ROOT.rpartition("/")[0]])
        if entry.path == TRUSTED_ROOT and entry.mode.startswith("100") and entry.size <= LARGEST_FILE
    ]
    contents = repository.blobs(entry.blob for entry in entries)
    return Keyless(identities, contents[entries[0].blob] if entries else None)

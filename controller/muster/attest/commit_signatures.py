"""Commit signatures: who signed a commit, by the keys that the base of a change declares.

Rules it keeps:
- Nothing here raises, whatever the bytes are; what cannot be read is `unreadable` with its reason.
- What is verified is the commit without its signature, byte for byte: tree, parents, author, time and message.
- A signature is good only if exactly one person of the base declares the key that made it.
"""

from __future__ import annotations

from muster.attest.gitsign_signature import verify_gitsign
from muster.attest.gpg_signature import verify_gpg
from muster.attest.signed_commit import take_apart
from muster.attest.signers import Signers
from muster.attest.ssh_signature import verify_ssh
from muster.kinds.pull_request import CommitSignature

_SCHEMES = {
    b"-----BEGIN SSH SIGNATURE-----": verify_ssh,
    b"-----BEGIN PGP SIGNATURE-----": verify_gpg,
    b"-----BEGIN PGP MESSAGE-----": verify_gpg,
    b"-----BEGIN SIGNED MESSAGE-----": verify_gitsign,
}


def commit_signature(raw: bytes, signers: Signers) -> CommitSignature:
    """What the signature of a commit is worth. `raw` is what `git cat-file commit` puts out."""
    commit = take_apart(raw)
    if isinstance(commit, str):
        return CommitSignature("unreadable", reason=commit)
    if not commit.signature:
        return CommitSignature("unsigned")
    verify = _SCHEMES.get(commit.signature.partition(b"\n")[0])
    if verify is None:
        return CommitSignature("unreadable", reason="the signature is neither of SSH, GPG nor gitsign")
    return verify(commit.payload, commit.signature, signers)

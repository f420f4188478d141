"""Commits signed with gitsign: Sigstore's verifier decides, on the trusted root and the people of the base."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commit_makers import PAYLOAD, with_signature
from muster.attest.commit_signatures import commit_signature
from muster.attest.signers import TRUSTED_ROOT, Signers, is_key_file, signers_of
from muster.kinds.owners import Owners
from muster.kinds.pull_request import CommitSignature
from sigstore_authority import AT, Authority, armored

IDENTITY, ISSUER = "ada@fleet.example", "https://accounts.example"
AUTHORITY = Authority()
SIGNATURE = AUTHORITY.signed(PAYLOAD, IDENTITY, ISSUER)
SIGNED = with_signature(PAYLOAD, SIGNATURE)


def signers(
    identity: str = IDENTITY, issuer: str = ISSUER, root: bytes | None = None, more: tuple[str, ...] = ()
) -> Signers:
    """A base in which ada (and others) may sign with this identity."""
    people = [{"login": login, "gitsign": [{"identity": identity, "issuer": issuer}]} for login in ("ada", *more)]
    owners = Owners.model_validate(
        {"metadata": {"name": "owners"}, "spec": {"people": people, "policyOwners": ["ada"]}}
    )
    return signers_of(owners, {TRUSTED_ROOT: AUTHORITY.trusted_root() if root is None else root})


def test_a_signature_of_a_declared_identity_is_good() -> None:
    """Certificate, certificate log, transparency log, time, identity and issuer all hold."""
    assert commit_signature(SIGNED, signers()) == CommitSignature("good", "gitsign", "ada")


UNKNOWN = {
    "another identity": signers("bo@fleet.example"),
    "a part of the identity": signers("ada@fleet.exampl"),
    "the same identity of another issuer": signers(issuer="https://accounts.example.org"),
    "two people": signers(more=("bo",)),
}


@pytest.mark.parametrize("base", UNKNOWN.values(), ids=UNKNOWN)
def test_identity_and_issuer_are_exact(base: Signers) -> None:
    """A valid signature of whoever is not exactly one person of the base is nobody's."""
    found = commit_signature(SIGNED, base)
    assert (found.state, found.by) == ("unknown-key", None)


def test_nobody_declared_is_nobody() -> None:
    """With a trusted root and no people, everybody's certificate verifies and nobody's counts."""
    found = commit_signature(SIGNED, Signers(trusted_root=AUTHORITY.trusted_root()))
    assert (found.state, found.by) == ("unknown-key", None)


def liar(**parts: object) -> bytes:
    """A commit signed by an authority of which some part is not the trusted one."""
    own = {"ca_key": AUTHORITY.ca_key, "ct_key": AUTHORITY.ct_key, "log_key": AUTHORITY.log_key}
    return with_signature(PAYLOAD, Authority(**{**own, **parts}).signed(PAYLOAD, IDENTITY, ISSUER))


def swapped_entry() -> bytes:
    """A signature with the log entry of another one, which makes it look as if it had been logged."""
    from asn1crypto import cms

    def loaded(text: bytes) -> cms.ContentInfo:
        return cms.ContentInfo.load(base64.b64decode(b"".join(text.strip().split(b"\n")[1:-1])))

    mine, other = loaded(SIGNATURE), loaded(AUTHORITY.signed(PAYLOAD, IDENTITY, ISSUER))
    attributes = other["content"]["signer_infos"][0]["unsigned_attrs"]
    mine["content"]["signer_infos"][0]["unsigned_attrs"] = attributes.copy()
    return with_signature(PAYLOAD, armored(mine.dump(force=True)))


UNFIT = "does not fit"
BAD = {
    "the message is another": (SIGNED.replace(b"widen", b"Widen"), UNFIT),
    "the author is another": (SIGNED.replace(b"author Ada", b"author Bo"), UNFIT),
    "a line more": (SIGNED + b"\n", UNFIT),
    "of another commit": (with_signature(PAYLOAD, AUTHORITY.signed(b"other", IDENTITY, ISSUER)), UNFIT),
    "another certificate authority": (liar(ca_key=Authority().ca_key), "chain"),
    "another certificate log": (liar(ct_key=Authority().ct_key), "SCT"),
    "another transparency log": (liar(log_key=Authority().log_key), "log entry"),
    "logged after the certificate had expired": (liar(logged_at=AT + timedelta(minutes=11)), "not valid at"),
    "logged before the certificate was made": (liar(logged_at=AT - timedelta(minutes=1)), "not valid at"),
    "the log entry of another signature": (swapped_entry(), "log entry"),
}


@pytest.mark.parametrize(("raw", "reason"), BAD.values(), ids=BAD)
def test_each_part_of_the_proof_is_needed(raw: bytes, reason: str) -> None:
    """Replayed, tampered, or vouched for by somebody whom the base does not trust: bad, and nobody's."""
    found = commit_signature(raw, signers())
    assert (found.state, found.by) == ("bad", None)
    assert reason in found.reason
    assert found.reason.isprintable()


UNREADABLE = {
    "no log entry inside": liar(with_entry=False),
    "a text of its own": with_signature(PAYLOAD, AUTHORITY.signed(PAYLOAD, IDENTITY, ISSUER, content=b"other")),
    "no message": with_signature(PAYLOAD, armored(b"")),
    "no base64": with_signature(PAYLOAD, b"-----BEGIN SIGNED MESSAGE-----\n!!\n-----END SIGNED MESSAGE-----"),
    "no end": with_signature(PAYLOAD, b"-----BEGIN SIGNED MESSAGE-----\nAAAA\n"),
    "half of it": with_signature(PAYLOAD, armored(b"0\x82\x0f\xff\x06\x09*\x86H\x86\xf7\r\x01\x07\x02")),
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_verified_here_says_why(raw: bytes) -> None:
    """Nothing is fetched: a signature whose proof stands elsewhere is unreadable, and so are broken bytes."""
    found = commit_signature(raw, signers())
    assert (found.state, found.by) == ("unreadable", None)
    assert found.reason


@pytest.mark.parametrize("root", [b"", b"{}", b"no json", b"[" * 10_000])
def test_a_broken_trusted_root_trusts_nobody(root: bytes) -> None:
    """The reason names the file that a person has to mend."""
    found = commit_signature(SIGNED, signers(root=root))
    assert (found.state, found.by) == ("unreadable", None)
    assert TRUSTED_ROOT in found.reason


def test_without_a_trusted_root_nobody_is_trusted() -> None:
    """There is no default authority: the base pins whom it trusts, or nobody."""
    base = Signers(gitsign={(IDENTITY, ISSUER): frozenset(["ada"])})
    found = commit_signature(SIGNED, base)
    assert (found.state, found.by) == ("unreadable", None)
    assert TRUSTED_ROOT in found.reason
    assert is_key_file(TRUSTED_ROOT)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60), st.integers(0, len(SIGNED)), st.integers(0, 40))
def test_hostile_bytes_never_raise(junk: bytes, at: int, cut: int) -> None:
    """Any bytes put anywhere into a signed commit, or into its message: an answer, and never somebody else's."""
    base = signers()
    assert commit_signature(SIGNED[:at] + junk + SIGNED[at + cut :], base).by in (None, "ada")
    message = base64.b64decode(b"".join(SIGNATURE.strip().split(b"\n")[1:-1]))
    place = at % len(message)
    damaged = armored(message[:place] + junk + message[place + cut :])
    assert commit_signature(with_signature(PAYLOAD, damaged), base).by in (None, "ada")

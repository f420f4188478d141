"""Commits signed with SSH keys: who signed is known only from keys of the base, and only for exactly that commit."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from commit_makers import PAYLOAD, PrivateKey, armored, packed, ssh_line, ssh_signed, with_signature
from muster.attest.commit_signatures import commit_signature
from muster.attest.signers import Signers, key_blob, signers_of
from muster.kinds.owners import Owners
from muster.kinds.pull_request import CommitSignature
from scratch_repository import git, repository_of

ED25519 = ed25519.Ed25519PrivateKey.generate()
OTHER = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)
SMALL_RSA = rsa.generate_private_key(65537, 1024)  # too small on purpose
KEYS = {"ed25519": ED25519, "ecdsa": P256, "rsa": RSA}
SIGNED = with_signature(PAYLOAD, ssh_signed(PAYLOAD, ED25519))


def owners(**keys: PrivateKey) -> Owners:
    """People by login, each with one key."""
    people = [{"login": login, "sshKeys": [ssh_line(key)]} for login, key in keys.items()]
    return Owners.model_validate(
        {"metadata": {"name": "owners"}, "spec": {"people": people or [{"login": "ada"}], "policyOwners": ["ada"]}}
    )


def signed_by(raw: bytes, **keys: PrivateKey) -> CommitSignature:
    """What the signature is worth if these people are in the base."""
    return commit_signature(raw, signers_of(owners(**keys), {}))


def blob_of(key: PrivateKey) -> bytes:
    """The key in binary."""
    return key_blob(ssh_line(key)) or b""


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_signature_of_a_declared_key_is_good(key: PrivateKey) -> None:
    """Each accepted kind of key, and the person whose key it is."""
    raw = with_signature(PAYLOAD, ssh_signed(PAYLOAD, key))
    assert signed_by(raw, bo=OTHER, ada=key) == CommitSignature("good", "ssh", "ada")


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_both_hashes_count(hash_name: str) -> None:
    """ssh-keygen offers two; both are accepted, also of RSA."""
    for key, algorithm in ((ED25519, None), (RSA, b"rsa-sha2-256")):
        raw = with_signature(PAYLOAD, ssh_signed(PAYLOAD, key, hash_name=hash_name, algorithm=algorithm))
        assert signed_by(raw, ada=key).state == "good"


TAMPERED = {
    "the message": SIGNED.replace(b"widen", b"Widen"),
    "the tree": SIGNED.replace(b"tree 045f", b"tree 145f"),
    "the parent": SIGNED.replace(b"parent 74f0", b"parent 84f0"),
    "the author": SIGNED.replace(b"author Ada", b"author Bo"),
    "the time": SIGNED.replace(b"1685981477", b"1685981478"),
    "a header more": SIGNED.replace(b"author Ada", b"encoding latin1\nauthor Ada"),
    "a line more at the end": SIGNED + b"\n",
    "a line less at the end": SIGNED[:-1],
    "made for files": with_signature(PAYLOAD, ssh_signed(PAYLOAD, ED25519, namespace=b"file")),
    "made for no purpose": with_signature(PAYLOAD, ssh_signed(PAYLOAD, ED25519, namespace=b"")),
    "made by another key": with_signature(PAYLOAD, ssh_signed(PAYLOAD, OTHER, claimed=ED25519)),
    "of another commit": with_signature(PAYLOAD, ssh_signed(PAYLOAD.replace(b"widen", b"other"), ED25519)),
}


@pytest.mark.parametrize("raw", TAMPERED.values(), ids=TAMPERED)
def test_a_signature_holds_for_exactly_one_commit(raw: bytes) -> None:
    """Whatever is changed, replayed or made for another purpose is bad, and nobody's."""
    found = signed_by(raw, ada=ED25519)
    assert (found.state, found.by) == ("bad", None)
    assert found.reason


def test_a_key_that_nobody_declares_is_unknown() -> None:
    """A valid signature by anybody else is nobody's; the reason names the key as ssh-keygen does."""
    found = signed_by(SIGNED, ada=OTHER)
    assert (found.state, found.by) == ("unknown-key", None)
    assert "SHA256:" in found.reason
    assert commit_signature(SIGNED, Signers()).state == "unknown-key"
    assert commit_signature(SIGNED, signers_of(None, {})).state == "unknown-key"


def test_a_key_of_two_people_is_nobodys() -> None:
    """Who signed cannot be told, so nobody did."""
    found = signed_by(SIGNED, ada=ED25519, bo=ED25519)
    assert (found.state, found.by) == ("unknown-key", None)
    assert "ada, bo" in found.reason


def test_an_unsigned_commit_is_unsigned() -> None:
    """Also if its message looks like a signature."""
    assert signed_by(PAYLOAD, ada=ED25519) == CommitSignature("unsigned")
    in_message = PAYLOAD + b"gpgsig " + ssh_signed(PAYLOAD, ED25519)
    assert signed_by(in_message, ada=ED25519) == CommitSignature("unsigned")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(SMALL_RSA, None), (P384, None), (RSA, b"ssh-rsa"), (ED25519, b"rsa-sha2-512")],
    ids=["small rsa", "another curve", "sha-1", "another algorithm than the key's"],
)
def test_weak_keys_and_hashes_do_not_count(key: PrivateKey, algorithm: bytes | None) -> None:
    """Even if somebody is declared with them: the base's file takes such keys only by mistake."""
    try:
        signature = ssh_signed(PAYLOAD, key, algorithm=algorithm)
    except Exception as error:  # noqa: BLE001 - some builds of OpenSSL refuse to sign so
        pytest.skip(f"cannot be made here: {error}")
    found = commit_signature(with_signature(PAYLOAD, signature), Signers(ssh={blob_of(key): frozenset(["ada"])}))
    assert (found.state, found.by) == ("unreadable", None)


def test_one_signature_too_many_is_unreadable() -> None:
    """Which of two counts would be anybody's guess."""
    twice = with_signature(SIGNED, ssh_signed(PAYLOAD, OTHER))
    found = signed_by(twice, ada=ED25519)
    assert (found.state, found.reason) == ("unreadable", "more than one signature")


def test_signatures_of_both_id_formats_are_cut_out() -> None:
    """In a repository of SHA-1 ids `gpgsig` counts and `gpgsig-sha256` is not part of the payload, and the reverse."""
    both = with_signature(SIGNED, b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END", b"gpgsig-sha256")
    assert signed_by(both, ada=ED25519).state == "good"
    only_other = with_signature(PAYLOAD, ssh_signed(PAYLOAD, ED25519), b"gpgsig-sha256")
    assert signed_by(only_other, ada=ED25519).state == "unsigned"
    long = PAYLOAD.replace(b"tree 045f683042529876c1fe28f97f416c1501ffa433", b"tree " + b"0" * 64)
    assert signed_by(with_signature(long, ssh_signed(long, ED25519), b"gpgsig-sha256"), ada=ED25519).state == "good"
    assert signed_by(with_signature(long, ssh_signed(long, ED25519)), ada=ED25519).state == "unsigned"


def test_the_signature_of_a_merged_tag_is_payload() -> None:
    """A tag's own signature inside of `mergetag` is neither the commit's, nor cut out of what was signed."""
    tag = b"mergetag object 74f0\n type commit\n tag v1\n gpgsig -----BEGIN SSH SIGNATURE-----\n \n text\n"
    merge = PAYLOAD.replace(b"author", tag + b"author", 1)
    assert signed_by(merge, ada=ED25519).state == "unsigned"
    raw = with_signature(merge, ssh_signed(merge, ED25519))
    assert signed_by(raw, ada=ED25519).state == "good"
    assert signed_by(raw.replace(b"tag v1", b"tag v2"), ada=ED25519).state == "bad"


BLOB = blob_of(ED25519)
BROKEN = {
    "no armor": b"hello",
    "an armor without an end": b"-----BEGIN SSH SIGNATURE-----\nAAAA\n",
    "no base64": b"-----BEGIN SSH SIGNATURE-----\n!!!!\n-----END SSH SIGNATURE-----\n",
    "another version": armored(b"SSHSIG\0\0\0\2" + packed(BLOB, b"git", b"", b"sha512", packed(b"ssh-ed25519", b"x"))),
    "a length beyond the end": armored(b"SSHSIG\0\0\0\1\xff\xff\xff\xff"),
    "something at the end": armored(b"SSHSIG\0\0\0\1" + packed(BLOB, b"git", b"", b"sha512", b"") + b"x"),
    "another hash": armored(b"SSHSIG\0\0\0\1" + packed(BLOB, b"git", b"", b"md5", packed(b"ssh-ed25519", b"x" * 64))),
    "nothing in it": armored(b""),
    "another armor": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}


@pytest.mark.parametrize("signature", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_says_why(signature: bytes) -> None:
    """Broken bytes are unreadable, not bad: nobody can tell what they were."""
    found = signed_by(with_signature(PAYLOAD, signature), ada=ED25519)
    assert (found.state, found.by) == ("unreadable", None)
    assert found.reason


def test_sizes_are_bounded() -> None:
    """A commit or a signature of any size costs no more than a look at its length."""
    assert "larger" in signed_by(PAYLOAD + b"x" * 2**20, ada=ED25519).reason
    assert "larger" in signed_by(with_signature(PAYLOAD, b"A" * 70_000), ada=ED25519).reason


@given(st.binary(max_size=400), st.integers(0, len(SIGNED)), st.integers(0, 40))
def test_hostile_bytes_are_never_somebodys(junk: bytes, at: int, cut: int) -> None:
    """Any bytes put anywhere into a signed commit: an answer, no exception, and good only if nothing signed changed."""
    raw = SIGNED[:at] + junk + SIGNED[at + cut :]
    for case in (raw, junk, b"tree " + b"0" * 40 + b"\n" + junk, with_signature(PAYLOAD, junk or b"x")):
        found = signed_by(case, ada=ED25519)
        if found.state == "good":
            assert case.replace(b"\n ", b"\n").count(b"widen\n") == 1
            assert found.by == "ada"


@given(st.binary(max_size=200))
def test_hostile_signatures_are_never_good(junk: bytes) -> None:
    """Any bytes in place of the parts of a signature."""
    for blob in (
        b"SSHSIG\0\0\0\1" + junk,
        b"SSHSIG\0\0\0\1" + packed(BLOB, b"git", b"", b"sha512", packed(b"ssh-ed25519", junk)),
        b"SSHSIG\0\0\0\1" + packed(packed(b"ecdsa-sha2-nistp256") + junk, b"git", b"", b"sha512", junk),
    ):
        signers = Signers(ssh={BLOB: frozenset(["ada"]), packed(b"ecdsa-sha2-nistp256") + junk: frozenset(["ada"])})
        assert commit_signature(with_signature(PAYLOAD, armored(blob)), signers).state != "good"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen to sign with")
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_what_git_signs_is_read(tmp_path: Path, kind: str) -> None:
    """A commit that git signed through ssh-keygen is its signer's; amended under the old signature, it is nobody's."""
    key = tmp_path / "key"
    size = {"rsa": ["-b", "2048"], "ecdsa": ["-b", "256"], "ed25519": []}[kind]
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", "ada", "-f", str(key)], check=True)
    line = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    repository = repository_of(tmp_path / "origin", {"a": "1"})
    git(
        repository.path,
        *("-c", "gpg.format=ssh", "-c", f"user.signingkey={key}"),
        *("commit", "-q", "-S", "--allow-empty", "-m", "signed", "-m", "two paragraphs"),
    )
    raw = repository.raw_commit(repository.resolve("HEAD"))
    signers = Signers(ssh={key_blob(line) or b"": frozenset(["ada"])})
    assert commit_signature(raw, signers) == CommitSignature("good", "ssh", "ada")
    assert commit_signature(raw.replace(b"two", b"2"), signers).state == "bad"
    assert commit_signature(repository.raw_commit(repository.resolve("HEAD~1")), signers).state == "unsigned"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen to compare with")
def test_ssh_keygen_reads_what_the_tests_sign(tmp_path: Path) -> None:
    """The signatures that these tests make by hand are the format that ssh-keygen knows."""
    (tmp_path / "allowed").write_text(f"ada {ssh_line(ED25519)}\n")
    (tmp_path / "signature").write_bytes(ssh_signed(PAYLOAD, ED25519))
    command = ["ssh-keygen", "-Y", "verify", "-n", "git", "-I", "ada", "-f", "allowed", "-s", "signature"]
    assert subprocess.run(command, cwd=tmp_path, input=PAYLOAD, capture_output=True, check=False).returncode == 0


def test_a_private_key_is_no_public_one() -> None:
    """A line that is no key declares nothing."""
    pem = ED25519.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    assert key_blob(pem) is None
    assert key_blob("ssh-ed25519 " + base64.b64encode(b"x").decode()) == b"x"

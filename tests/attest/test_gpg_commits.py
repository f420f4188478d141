"""Commits signed with OpenPGP: only certificates of the base count, and only those that a person declares."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pysequoia
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commit_makers import PAYLOAD, with_signature
from muster.attest.commit_signatures import commit_signature
from muster.attest.signers import LARGEST_FILE, Signers, is_key_file, signers_of
from muster.kinds.owners import Owners
from muster.kinds.pull_request import CommitSignature
from scratch_repository import git, repository_of

ADA = pysequoia.Tsk.generate("Ada <ada@fleet.example>")
BO = pysequoia.Tsk.generate("Bo <bo@fleet.example>")


def signed(payload: bytes, key: pysequoia.Tsk) -> bytes:
    """A detached, armored signature."""
    return pysequoia.sign(key.signer(), payload, mode=pysequoia.SignatureMode.DETACHED)


def certificate(key: pysequoia.Tsk) -> bytes:
    """The armored public half."""
    return str(key.extract_certificate()).encode()


def fingerprint(key: pysequoia.Tsk) -> str:
    """As owners declare it."""
    return key.extract_certificate().fingerprint.upper()


def signers(declared: dict[str, list[str]], *files: bytes) -> Signers:
    """People with fingerprints, and key files of the base."""
    people = [{"login": login, "gpgKeys": prints} for login, prints in declared.items()]
    spec = {"people": people, "policyOwners": ["ada"]}
    owners = Owners.model_validate({"metadata": {"name": "owners"}, "spec": spec})
    return signers_of(owners, {f"policies/keys/{number}.asc": data for number, data in enumerate(files)})


SIGNED = with_signature(PAYLOAD, signed(PAYLOAD, ADA))
BASE = signers({"ada": [fingerprint(ADA)], "bo": [fingerprint(BO)]}, certificate(ADA), certificate(BO))


def test_a_signature_of_a_declared_key_is_good() -> None:
    """A signing subkey speaks for the certificate whose fingerprint is declared."""
    assert commit_signature(SIGNED, BASE) == CommitSignature("good", "gpg", "ada")
    assert commit_signature(with_signature(PAYLOAD, signed(PAYLOAD, BO)), BASE).by == "bo"


def test_a_file_may_hold_several_certificates() -> None:
    """As `gpg --export` of several people writes them; a broken file beside it takes nobody with it."""
    both = bytes(BO.extract_certificate()) + bytes(ADA.extract_certificate())
    found = signers({"ada": [fingerprint(ADA)]}, b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nbroken", both)
    assert commit_signature(SIGNED, found) == CommitSignature("good", "gpg", "ada")


UNKNOWN = {
    "nobody declares it": signers({"ada": [fingerprint(BO)]}, certificate(ADA), certificate(BO)),
    "no certificate in the base": signers({"ada": [fingerprint(ADA)]}),
    "two people declare it": signers({"ada": [fingerprint(ADA)], "bo": [fingerprint(ADA)]}, certificate(ADA)),
    "a certificate of any size": signers({"ada": [fingerprint(ADA)]}, certificate(ADA) + b"\n" * LARGEST_FILE),
    "nothing declared": Signers(),
}


@pytest.mark.parametrize("base", UNKNOWN.values(), ids=UNKNOWN)
def test_a_key_without_one_person_is_unknown(base: Signers) -> None:
    """A valid signature by a key that is not exactly one person's is nobody's, and the reason names the key."""
    found = commit_signature(SIGNED, base)
    assert (found.state, found.by) == ("unknown-key", None)
    assert "OpenPGP key" in found.reason


BAD = {
    "the message": SIGNED.replace(b"widen", b"Widen"),
    "the tree": SIGNED.replace(b"tree 045f", b"tree 145f"),
    "a line more": SIGNED + b"\n",
    "of another commit": with_signature(PAYLOAD, signed(PAYLOAD.replace(b"widen", b"other"), ADA)),
    "of the signed commit as a whole": with_signature(PAYLOAD, signed(SIGNED, ADA)),
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_a_signature_holds_for_exactly_one_commit(raw: bytes) -> None:
    """Whatever is changed or replayed is bad, and nobody's."""
    found = commit_signature(raw, BASE)
    assert (found.state, found.by) == ("bad", None)


def test_a_revoked_key_signs_nothing() -> None:
    """Once the base's file holds the revocation, a signature of that key is bad."""
    revoked = pysequoia.Tsk.generate("Cy <cy@fleet.example>")
    public = revoked.extract_certificate()
    raw = with_signature(PAYLOAD, signed(PAYLOAD, revoked))
    before = signers({"cy": [public.fingerprint.upper()]}, bytes(public))
    assert commit_signature(raw, before).state == "good"
    revocation = bytes(public.revoke(revoked.certifier()))
    after = signers({"cy": [public.fingerprint.upper()]}, bytes(public) + revocation)
    assert commit_signature(raw, after).state == "bad"


INLINE = pysequoia.sign(ADA.signer(), PAYLOAD, mode=pysequoia.SignatureMode.INLINE)
BROKEN = {
    "an armor without an end": b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n",
    "no base64": b"-----BEGIN PGP SIGNATURE-----\n\n!!!!\n-----END PGP SIGNATURE-----\n",
    "a certificate in its place": certificate(ADA).replace(b"PUBLIC KEY BLOCK", b"SIGNATURE"),
    "a message that holds its own text": INLINE,
}


@pytest.mark.parametrize("signature", BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_says_why(signature: bytes) -> None:
    """Broken bytes are unreadable and quote nothing of the library's inside."""
    found = commit_signature(with_signature(PAYLOAD, signature), BASE)
    assert (found.state, found.by) == ("unreadable", None)
    assert "\n" not in found.reason


@given(st.binary(max_size=300), st.integers(0, 600), st.integers(0, 40))
def test_hostile_bytes_never_raise(junk: bytes, at: int, cut: int) -> None:
    """Any bytes put anywhere into a signed commit: an answer, and never somebody else's."""
    found = commit_signature(SIGNED[:at] + junk + SIGNED[at + cut :], BASE)
    assert found.by in (None, "ada")
    armored = b"-----BEGIN PGP SIGNATURE-----\n\n" + junk + b"\n-----END PGP SIGNATURE-----"
    assert commit_signature(with_signature(PAYLOAD, armored), BASE).state != "good"


def test_only_key_files_of_the_base_are_read() -> None:
    """Certificates count by their folder, so that owners of that folder decide."""
    assert is_key_file("policies/keys/ada.asc")
    assert not is_key_file("docs/ada.asc")
    assert not is_key_file("policies/keys/below/ada.asc")
    owners = Owners.model_validate(
        {
            "metadata": {"name": "owners"},
            "spec": {"people": [{"login": "ada", "gpgKeys": [fingerprint(ADA)]}], "policyOwners": ["ada"]},
        }
    )
    assert commit_signature(SIGNED, signers_of(owners, {"docs/ada.asc": certificate(ADA)})).state == "unknown-key"


@pytest.fixture
def gpg_home(tmp_path: Path) -> Iterator[Path]:
    """A key ring of its own, with one key; its agent is ended afterwards."""
    home = tmp_path / "ring"
    home.mkdir(mode=0o700)
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    made = subprocess.run(
        [*command, "--quick-gen-key", "Ada <ada@fleet.example>", "ed25519", "sign", "0"],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"gpg makes no key here: {made.stderr.decode()[-200:]}")
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], capture_output=True, check=False)


@pytest.mark.skipif(shutil.which("gpg") is None, reason="no gpg to sign with")
def test_what_git_signs_is_read(tmp_path: Path, gpg_home: Path) -> None:
    """A commit that git signed through gpg is its signer's, with nothing but the exported certificate."""
    program = tmp_path / "gpg.sh"
    program.write_text(f'#!/bin/sh\nexec gpg --homedir "{gpg_home}" "$@"\n')
    program.chmod(0o755)
    repository = repository_of(tmp_path / "origin", {"a": "1"})
    git(
        repository.path,
        *("-c", f"gpg.program={program}", "-c", "user.signingkey=ada@fleet.example"),
        *("commit", "-q", "-S", "--allow-empty", "-m", "signed"),
    )
    exported = subprocess.run([program, "--armor", "--export"], capture_output=True, check=True).stdout
    print_of = pysequoia.Cert.from_bytes(exported).fingerprint.upper()
    raw = repository.raw_commit(repository.resolve("HEAD"))
    base = signers({"ada": [print_of]}, exported)
    assert commit_signature(raw, base) == CommitSignature("good", "gpg", "ada")
    assert commit_signature(raw.replace(b"signed\n", b"forged\n"), base).state == "bad"

"""Keys and tokens: who can read them, and what counts as a key."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from muster.attest.keys import key_id, new_private_key, private_key, public_half, public_key, read_signing_key
from muster.attest.private_files import create_private, make_private_folder, read_private
from muster.attest.state_keys import StateKeys
from muster.kinds.errors import MusterError, Refused, Unusable


def pem_of(key, encryption=None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


WRONG_KEYS = {
    "garbage": b"garbage",
    "nothing": b"",
    "other-curve": pem_of(ec.generate_private_key(ec.SECP384R1())),
    "other-kind": pem_of(ed25519.Ed25519PrivateKey.generate()),
    "passphrase": pem_of(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")),
    "public": public_half(new_private_key()).encode(),
}


@pytest.mark.parametrize("pem", WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_wrong_private_keys(pem, tmp_path):
    """Anything but an EC P-256 key without a passphrase is refused with a hint, and not quoted."""
    path = tmp_path / "signing.pem"
    create_private(path, pem)
    with pytest.raises(Unusable) as refused:
        read_signing_key(path)
    assert refused.value.hint
    assert str(path) in refused.value.message
    assert not pem or pem.decode()[:40] not in refused.value.message


def test_wrong_public_keys():
    """A public key on another curve, of another kind, too long, or garbage, is refused."""
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    for pem in (
        "garbage",
        "",
        "\ud800",
        "\n" * 3_000 + public_half(new_private_key()),
        other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        pem_of(private_key(new_private_key())).decode(),
    ):
        with pytest.raises(Unusable):
            public_key(pem)


def test_key_id_does_not_depend_on_wrapping():
    """The id is that of the key, not of the text around it."""
    pem = public_half(new_private_key())
    assert key_id(pem) == key_id(pem.replace("\n", "\r\n")) == key_id(pem.rstrip())


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_modes_from_the_start(tmp_path, umask):
    """Keys and tokens are 0600 in a folder 0700 under any umask."""
    keys = StateKeys.of(tmp_path / "state")
    before = os.umask(umask)
    try:
        made = keys.make()
    finally:
        os.umask(before)
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o600] * 3
    assert sorted(made) == sorted(keys.folder.iterdir())


def test_made_once(tmp_path):
    """A second call makes nothing, and what is missing alone is made again."""
    keys = StateKeys.of(tmp_path)
    assert len(keys.make()) == 3
    key, token = keys.signing_key(), keys.enrolment_token()
    assert keys.make() == ()
    keys.operator_token_path.unlink()
    assert keys.make() == (keys.operator_token_path,)
    assert (key, token) == (keys.signing_key(), keys.enrolment_token())


def test_tokens_are_random_and_long(tmp_path):
    """Each token holds 32 random bytes in base64url."""
    tokens = set()
    for name in "ab":
        keys = StateKeys.of(tmp_path / name)
        keys.make()
        tokens |= {keys.enrolment_token(), keys.operator_token()}
    assert [len(token) for token in tokens] == [43] * 4


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660], ids=oct)
def test_files_open_to_others_are_refused(tmp_path, mode):
    """A key that the group or others can read or write is refused, with the command that closes it."""
    keys = StateKeys.of(tmp_path)
    keys.make()
    keys.signing_path.chmod(mode)
    with pytest.raises(Refused, match="open to others") as refused:
        keys.signing_key()
    assert f"chmod 0600 {keys.signing_path}" in (refused.value.hint or "")


def test_folder_open_to_others_is_refused(tmp_path):
    """Keys are not put into a folder that others can enter."""
    (tmp_path / "keys").mkdir(mode=0o755)
    with pytest.raises(Refused, match="open to others"):
        StateKeys.of(tmp_path).make()


def test_links_and_other_files_are_refused(tmp_path):
    """A private file is a plain file: a link, a folder or a pipe is refused without waiting."""
    create_private(tmp_path / "real", b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "folder", "pipe", "missing"):
        with pytest.raises(Unusable):
            read_private(tmp_path / name)


def test_folder_that_is_a_link_is_refused(tmp_path):
    """The key folder is a folder, not a link to one."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "keys").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MusterError):
        make_private_folder(tmp_path / "keys")


def test_an_existing_key_is_never_replaced(tmp_path):
    """Whoever comes second keeps the first one's key."""
    assert create_private(tmp_path / "key", b"first")
    assert not create_private(tmp_path / "key", b"second")
    assert read_private(tmp_path / "key") == b"first"
    assert [tmp_path / "key"] == list(tmp_path.iterdir())


def test_leftover_of_a_killed_process(tmp_path):
    """A temporary file of a killed process does not stop the next."""
    Path(tmp_path, f".key.{os.getpid()}").write_bytes(b"half")
    assert create_private(tmp_path / "key", b"whole")
    assert read_private(tmp_path / "key") == b"whole"


@pytest.mark.parametrize("text", [b"", b"short", b"x" * 44, b"\xff" * 43], ids=["empty", "short", "long", "binary"])
def test_broken_tokens(tmp_path, text):
    """A token file with anything but a token is refused with a hint, and not quoted."""
    keys = StateKeys.of(tmp_path)
    make_private_folder(keys.folder)
    create_private(keys.enrolment_token_path, text)
    with pytest.raises(Unusable, match="holds no token") as refused:
        keys.enrolment_token()
    assert "muster keys init" in (refused.value.hint or "")

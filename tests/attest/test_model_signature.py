"""Signatures over an artifact's files, held against the public `model_signing` program."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle, unpack_bundle
from muster.attest.artifact_files import files_of_bundle, files_of_folder
from muster.attest.keys import key_id, new_private_key, private_key, public_half
from muster.attest.model_signature import LARGEST, PAYLOAD_TYPE, sign_files, verify_files
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable

PRIVATE = new_private_key()
PUBLIC = public_half(PRIVATE)
STRANGER = new_private_key()
CONTENT = {
    MODEL: b"model bytes",
    CONFIG: b"{}",
    MANIFEST: b'{"files":{}}',
    GOLDEN_INPUTS: b"inputs",
    GOLDEN_EXPECTED: b"expected",
}
FILES = {name: digest_of(data) for name, data in CONTENT.items()}


def peer_accepts(folder: Path, signature: Path, key: Path) -> bool:
    """What the public program says; its command line runs in this process, because its imports take a second."""
    from model_signing._cli import main

    arguments = ["verify", "key", folder, "--signature", signature, "--public_key", key, "--no-ignore-git-paths"]
    outcome = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert outcome.exit_code in {0, 1}, outcome.output
    assert ("Verification succeeded" in outcome.output) == (outcome.exit_code == 0)
    return outcome.exit_code == 0


def model_signing(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The public program in its own process, as a user calls it."""
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A packed, signed and unpacked artifact: folder, signature, public key."""
    tar, folder, signature, key = (tmp_path / name for name in ("a.tar", "artifact", "a.sig", "key.pem"))
    tar.write_bytes(pack_bundle(CONTENT))
    unpack_bundle(tar, folder)
    signature.write_bytes(sign_files(files_of_bundle(tar.read_bytes()), PRIVATE))
    key.write_text(PUBLIC)
    return folder, signature, key


def test_both_accept_what_we_signed(signed):
    """`model_signing verify key` accepts the signed bundle, and so do we."""
    folder, signature, key = signed
    assert key_id(PUBLIC) == verify_files(files_of_folder(folder), signature.read_bytes(), [PUBLIC])
    assert peer_accepts(folder, signature, key)
    options = ["--signature", signature, "--public_key", key, "--no-ignore-git-paths"]
    assert model_signing("verify", "key", folder, *options).returncode == 0
    flip(folder)
    assert model_signing("verify", "key", folder, *options).returncode == 1


def flip(folder: Path) -> None:
    data = bytearray((folder / MODEL).read_bytes())
    data[0] ^= 1
    (folder / MODEL).write_bytes(data)


def rename(folder: Path) -> None:
    (folder / MODEL).rename(folder / "model2.onnx")


def swap(folder: Path) -> None:
    (folder / MODEL).rename(folder / "x")
    (folder / CONFIG).rename(folder / MODEL)
    (folder / "x").rename(folder / CONFIG)


def add(folder: Path) -> None:
    (folder / "extra").write_bytes(b"")


def add_below_git(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "hook").write_bytes(b"")


def remove(folder: Path) -> None:
    (folder / CONFIG).unlink()


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (flip, "changed: 'model.onnx'"),
        (rename, "renamed: 'model.onnx' to 'model2.onnx'"),
        (swap, "changed: 'config.json'; changed: 'model.onnx'"),
        (add, "added: 'extra'"),
        (add_below_git, "added: '.git/hook'"),
        (remove, "missing: 'config.json'"),
    ],
    ids=["flipped-byte", "renamed-file", "swapped-names", "added-file", "added-below-git", "missing-file"],
)
def test_both_refuse_harm(signed, harm, complaint):
    """A flipped byte, a renamed, added or missing file is refused by `model_signing` and by us; we say which."""
    folder, signature, key = signed
    harm(folder)
    with pytest.raises(Refused) as refused:
        verify_files(files_of_folder(folder), signature.read_bytes(), [PUBLIC])
    assert complaint in refused.value.message
    assert not peer_accepts(folder, signature, key)


def test_both_refuse_another_key(signed):
    """A key that did not sign is refused by `model_signing` and by us."""
    folder, signature, key = signed
    other = public_half(STRANGER)
    key.write_text(other)
    with pytest.raises(Refused, match="not trusted"):
        verify_files(files_of_folder(folder), signature.read_bytes(), [other])
    assert not peer_accepts(folder, signature, key)


def test_we_accept_what_model_signing_signed(signed, tmp_path):
    """A signature made by `model_signing sign key` without ignored paths holds for us."""
    folder, _, _ = signed
    (folder / "sub").mkdir()
    (folder / "sub" / "z").write_bytes(b"deep")
    (folder / "B").write_bytes(b"capital")
    private, signature = tmp_path / "private.pem", tmp_path / "peer.sig"
    private.write_bytes(PRIVATE)
    sign = ["sign", "key", folder, "--signature", signature, "--private_key", private]
    assert model_signing(*sign, "--no-ignore-git-paths").returncode == 0
    assert key_id(PUBLIC) == verify_files(files_of_folder(folder), signature.read_bytes(), [PUBLIC])
    assert model_signing(*sign).returncode == 0
    with pytest.raises(Refused, match="ignore_paths") as refused:
        verify_files(files_of_folder(folder), signature.read_bytes(), [PUBLIC])
    assert refused.value.hint == "sign with --no-ignore-git-paths"


def test_the_library_accepts_nested_names(tmp_path):
    """Names with folders are listed in the order in which `model_signing` computes its root digest."""
    import model_signing.verifying

    folder = tmp_path / "m"
    for name in ("a.b", "a/b", "a/c/d", "B", "é"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (tmp_path / "sig").write_bytes(sign_files(files_of_folder(folder), PRIVATE))
    (tmp_path / "key").write_text(PUBLIC)
    verifier = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "key")
    verifier.verify(folder, tmp_path / "sig")


def test_signing_repeats():
    """The same files and key give the same bytes."""
    assert sign_files(FILES, PRIVATE) == sign_files(dict(reversed(FILES.items())), PRIVATE)


def test_one_of_several_trusted_keys():
    """Any trusted key will do, however its PEM is wrapped; the id of the one that signed comes back."""
    trusted = [public_half(STRANGER), PUBLIC.replace("\n", "\r\n")]
    assert key_id(PUBLIC) == verify_files(FILES, sign_files(FILES, PRIVATE), trusted)


def test_no_trusted_key_refuses():
    """No trusted key means no."""
    with pytest.raises(Refused, match="not trusted"):
        verify_files(FILES, sign_files(FILES, PRIVATE), [])


def test_unusable_trusted_key():
    """A broken trusted key is a broken set-up, even if another one fits."""
    with pytest.raises(Unusable):
        verify_files(FILES, sign_files(FILES, PRIVATE), [PUBLIC, "no key"])


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../b", "a//b", "./a", ".", "a\nb", "a/"])
def test_names_that_leave_their_folder_are_not_signed(name):
    """Only relative, canonical, printable names are signed."""
    with pytest.raises(Refused, match="no name of a file"):
        sign_files({name: digest_of(b"")}, PRIVATE)


def test_nothing_to_sign():
    """No file, no signature."""
    with pytest.raises(Refused, match="no file"):
        sign_files({}, PRIVATE)


def statement() -> dict[str, Any]:
    return json.loads(base64.b64decode(json.loads(sign_files(FILES, PRIVATE))["dsseEnvelope"]["payload"]))


def resign(payload: bytes) -> bytes:
    """The bundle around any payload, signed with the trusted key: only the statement can be at fault."""
    bundle = json.loads(sign_files(FILES, PRIVATE))
    authenticated = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    signature = private_key(PRIVATE).sign(authenticated, ec.ECDSA(hashes.SHA256()))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(bundle).encode()


def test_resigned_statement_is_accepted():
    """The tool of the next tests makes acceptable bundles."""
    verify_files(FILES, resign(json.dumps(statement()).encode()), [PUBLIC])


def duplicate_resource(value: dict[str, Any]) -> None:
    import hashlib

    resources = value["predicate"]["resources"]
    resources.append(resources[0])
    raw = b"".join(bytes.fromhex(resource["digest"]) for resource in resources)
    value["subject"][0]["digest"]["sha256"] = hashlib.sha256(raw).hexdigest()


HOSTILE_STATEMENTS = {
    "other-type": lambda value: value.update(_type="https://in-toto.io/Statement/v0.1"),
    "other-predicate": lambda value: value.update(predicateType="https://slsa.dev/provenance/v1"),
    "older-predicate": lambda value: value.update(predicateType="https://model_signing/Digests/v0.1"),
    "no-subject": lambda value: value.update(subject=[]),
    "two-subjects": lambda value: value["subject"].append(value["subject"][0]),
    "other-root": lambda value: value["subject"][0]["digest"].update(sha256="0" * 64),
    "shards": lambda value: value["predicate"]["serialization"].update(method="shards", shard_size=10),
    "blake3": lambda value: value["predicate"]["serialization"].update(hash_type="blake3"),
    "symlinks": lambda value: value["predicate"]["serialization"].update(allow_symlinks=True),
    "ignored-paths": lambda value: value["predicate"]["serialization"].update(ignore_paths=[".git"]),
    "other-algorithm": lambda value: value["predicate"]["resources"][0].update(algorithm="blake2b"),
    "upper-case": lambda value: value["predicate"]["resources"][0].update(digest="A" * 64),
    "number-as-name": lambda value: value["predicate"]["resources"][0].update(name=1),
    "no-resources": lambda value: value["predicate"].pop("resources"),
    "twice": duplicate_resource,
}


@pytest.mark.parametrize("change", HOSTILE_STATEMENTS.values(), ids=HOSTILE_STATEMENTS.keys())
def test_hostile_statements(change):
    """A statement that a trusted key signed is still refused if it says anything else than v1.0 over plain files."""
    value = statement()
    change(value)
    with pytest.raises(Refused):
        verify_files(FILES, resign(json.dumps(value).encode()), [PUBLIC])


@pytest.mark.parametrize(
    "payload",
    [b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"_type":1,"_type":1}', b"1" * 10_000, b""],
    ids=["empty", "list", "null", "not-utf8", "deep", "twice", "long-number", "nothing"],
)
def test_hostile_payloads(payload):
    """A payload that is no statement is refused, not an error of the parser."""
    with pytest.raises(Refused):
        verify_files(FILES, resign(payload), [PUBLIC])


def test_duplicate_keys_in_a_signed_statement():
    """A statement with a key twice is refused: two parsers could read two different things."""
    twice = json.dumps(statement()).replace('"subject"', '"subject":[],"subject"', 1)
    with pytest.raises(Refused, match="not plain JSON"):
        verify_files(FILES, resign(twice.encode()), [PUBLIC])


HOSTILE_BUNDLES = {
    "media-type": lambda value: value.update(mediaType="application/json"),
    "payload-type": lambda value: value["dsseEnvelope"].update(payloadType="text/plain"),
    "no-signature": lambda value: value["dsseEnvelope"].update(signatures=[]),
    "two-signatures": lambda value: value["dsseEnvelope"]["signatures"].append({"sig": "AA=="}),
    "no-hint": lambda value: value["verificationMaterial"].update(publicKey={}),
    "broken-base64": lambda value: value["dsseEnvelope"].update(payload="A?=="),
    "empty-signature": lambda value: value["dsseEnvelope"]["signatures"][0].update(sig=""),
    "garbage-signature": lambda value: value["dsseEnvelope"]["signatures"][0].update(sig="AAAA"),
}


@pytest.mark.parametrize("change", HOSTILE_BUNDLES.values(), ids=HOSTILE_BUNDLES.keys())
def test_hostile_bundles(change):
    """Anything else than one signature of one key over an in-toto payload is refused."""
    value = json.loads(sign_files(FILES, PRIVATE))
    change(value)
    with pytest.raises(Refused):
        verify_files(FILES, json.dumps(value).encode(), [PUBLIC])


def test_forged_hint():
    """A stranger's signature under the hint of a trusted key is refused."""
    ours, forged = json.loads(sign_files(FILES, PRIVATE)), json.loads(sign_files(FILES, STRANGER))
    forged["verificationMaterial"] = ours["verificationMaterial"]
    with pytest.raises(Refused, match="does not hold"):
        verify_files(FILES, json.dumps(forged).encode(), [PUBLIC])


@pytest.mark.parametrize("signature", [b"", b" " * (LARGEST + 1)], ids=["unsigned", "too-large"])
def test_unsigned_and_too_large(signature):
    """No signature, or one above 1 MiB, is refused before it is parsed."""
    with pytest.raises(Refused, match=r"not signed|more than"):
        verify_files(FILES, signature, [PUBLIC])


@settings(max_examples=80, deadline=None)
@given(
    st.binary(max_size=200) | st.recursive(st.text() | st.none() | st.integers(), st.lists).map(repr).map(str.encode)
)
def test_any_bytes_are_refused(data):
    """No bytes make the verifier raise anything but `Refused`."""
    with pytest.raises(Refused):
        verify_files(FILES, data, [PUBLIC])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_flipped_bit_of_a_signature_is_refused_or_harmless(data):
    """A signature with one bit flipped is refused, unless the bit lies where nothing is signed or read."""
    signature = bytearray(sign_files(FILES, PRIVATE))
    position = data.draw(st.integers(0, len(signature) - 1))
    signature[position] ^= 1 << data.draw(st.integers(0, 6))
    try:
        verify_files(FILES, bytes(signature), [PUBLIC])
    except Refused:
        return
    before, after = json.loads(sign_files(FILES, PRIVATE)), json.loads(signature)
    assert before["dsseEnvelope"]["payload"] == after["dsseEnvelope"]["payload"]


def test_folder_with_a_link_is_refused(signed):
    """A symbolic link among an artifact's files is refused, wherever it points."""
    folder, _, _ = signed
    (folder / "link").symlink_to(folder / MODEL)
    with pytest.raises(Refused, match="neither a plain file"):
        files_of_folder(folder)
    shutil.rmtree(folder)
    with pytest.raises(Unusable):
        files_of_folder(folder)

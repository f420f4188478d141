"""Bundles: one tar per set of files; anything else a tar could express is refused."""

from __future__ import annotations

import contextlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.artifacts.bundle import CONFIG, LIMITS, MANIFEST, MODEL, pack_bundle, read_bundle, unpack_bundle
from muster.artifacts.manifest import Manifest, check_bundle, list_files, read_manifest
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.release import OnnxVersions

FILES = {name: name.encode() * 50 for name in LIMITS}


@given(st.fixed_dictionaries({name: st.binary(max_size=2_000) for name in LIMITS}))
def test_round_trip(files: dict[str, bytes]) -> None:
    """What was packed is read back; packing again gives the same tar."""
    tar = pack_bundle(files)
    assert files == read_bundle(tar)
    assert tar == pack_bundle(dict(reversed(files.items())))


def test_any_tar_program_can_read_it() -> None:
    """It is a plain tar: mode 0644, owner and time zero, names sorted."""
    with tarfile.open(fileobj=io.BytesIO(pack_bundle(FILES))) as tar:
        members = tar.getmembers()
        assert sorted(FILES) == [member.name for member in members]
        assert {(0o644, 0, 0, 0, True)} == {(m.mode, m.uid, m.gid, m.mtime, m.isreg()) for m in members}
        assert {member.name: tar.extractfile(member).read() for member in members} == FILES


def test_the_bytes_are_those_that_were_agreed_on() -> None:
    """Artifacts are pinned by digest: the container must not change between versions of this program."""
    assert digest_of(pack_bundle(FILES)) == "sha256:a0736ea1f7ac9b5060515e3b57b1fb65a3c0154e462e98f1fa04b2e63fc9f999"


def test_unpacking_writes_the_files(tmp_path: Path) -> None:
    """Into a fresh folder, and only there."""
    (tmp_path / "a.tar").write_bytes(pack_bundle(FILES))
    unpack_bundle(tmp_path / "a.tar", tmp_path / "deep" / "slot")
    assert {path.name: path.read_bytes() for path in (tmp_path / "deep" / "slot").iterdir()} == FILES
    with pytest.raises(Unusable, match="exists"):
        unpack_bundle(tmp_path / "a.tar", tmp_path / "deep" / "slot")


def _tar(change: object, format: int = tarfile.USTAR_FORMAT) -> bytes:  # noqa: A002 - tarfile's word
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name in sorted(FILES):
            info = tarfile.TarInfo(name)
            info.size = len(FILES[name])
            change(info)  # type: ignore[operator]
            tar.addfile(info, io.BytesIO(FILES[name]))
    return buffer.getvalue()


def _set(**fields: object) -> object:
    return lambda info: [setattr(info, key, value) for key, value in fields.items()] if info.name == MODEL else None


def _flipped(position: int) -> bytes:
    data = bytearray(pack_bundle(FILES))
    data[position] ^= 1
    return bytes(data)


HOSTILE = {
    "symbolic link": _tar(_set(type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0)),
    "hard link": _tar(_set(type=tarfile.LNKTYPE, linkname=CONFIG, size=0)),
    "device": _tar(_set(type=tarfile.CHRTYPE, size=0)),
    "folder": _tar(_set(type=tarfile.DIRTYPE, size=0)),
    "leaves the folder": _tar(_set(name="../model.onnx")),
    "absolute": _tar(_set(name="/model.onnx")),
    "unknown name": _tar(_set(name="model.pickle")),
    "executable": _tar(_set(mode=0o755)),
    "time": _tar(_set(mtime=1)),
    "owner": _tar(_set(uname="root")),
    "extended header": _tar(_set(pax_headers={"path": "/etc/passwd"}), tarfile.PAX_FORMAT),
    "long name": _tar(_set(name="a" * 200), tarfile.GNU_FORMAT),
    "twice": pack_bundle(FILES)[:-1024] + pack_bundle(FILES),
    "cut short": pack_bundle(FILES)[:-1],
    "bytes behind the end": pack_bundle(FILES) + b"\0",
    "checksum": _flipped(150),
    "byte in the padding": _flipped(1500),
    "missing file": pack_bundle(FILES)[1024:],
    "empty": b"",
    "empty tar": bytes(1024),
    "zip": b"PK\x03\x04" + bytes(2000),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bundles_are_refused(case: str, tmp_path: Path) -> None:
    """In memory and while unpacking; nothing appears outside the folder."""
    with pytest.raises(Refused):
        read_bundle(HOSTILE[case])
    (tmp_path / "a.tar").write_bytes(HOSTILE[case])
    with pytest.raises(Refused):
        unpack_bundle(tmp_path / "a.tar", tmp_path / "slot")
    assert {"a.tar", "slot"} == {path.name for path in tmp_path.iterdir()}


def test_a_size_beyond_the_limit_is_refused_before_it_is_read() -> None:
    """The header alone decides."""
    header = bytearray(pack_bundle(FILES)[:512])
    header[124:135] = b"%011o" % (LIMITS[CONFIG] + 1)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(Refused, match="bytes, more than"):
        read_bundle(bytes(header))


@given(position=st.integers(0, len(pack_bundle(FILES)) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_seen_by_the_manifest(position: int, bit: int) -> None:
    """Bits of a header, of padding and of the end are refused; bits of a file do not match the manifest.

    A bit of the manifest itself may make another manifest of the same files: it is what the signature covers.
    """
    files = dict(FILES)
    original = _manifest(files)
    files[MANIFEST] = original.dump()
    tar = bytearray(pack_bundle(files))
    tar[position % len(tar)] ^= 1 << bit
    with contextlib.suppress(Refused):
        found = check_bundle(read_bundle(bytes(tar)))
        assert original.files == found.files
        assert original != found


def _manifest(files: dict[str, bytes]) -> Manifest:
    return Manifest(
        model="meter-reader",
        version="1.0.0",
        onnx=OnnxVersions(opset=17, ir=8),
        golden_tolerance="0.05",
        files=list_files(files),
    )


def test_the_manifest_lists_every_other_file() -> None:
    """It reads back, names what a device reports, and accepts the files it was made of."""
    files = dict(FILES)
    files[MANIFEST] = _manifest(files).dump()
    manifest = check_bundle(files)
    assert digest_of(files[MODEL]) == manifest.model_hash
    assert digest_of(files[CONFIG]) == manifest.config_version


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"[" * 50_000, b'{"apiVersion":"muster/v2"}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """Without a traceback."""
    with pytest.raises(Refused, match="not a manifest"):
        read_manifest(data)

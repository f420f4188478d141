"""The .swu: one archive for each artifact, description and signature, that other programs read."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.artifacts import swu
from muster.artifacts.swu import describe, pack_swu
from muster.kinds.device_class import SwuPackaging
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused


def members(data: bytes) -> dict[str, bytes]:
    """An archive as cpio(5) describes it, read apart from what wrote it; checks sums and padding."""
    found, place = {}, 0
    while True:
        assert data[place : place + 6] == b"070702"
        fields = [int(data[place + 6 + 8 * n : place + 14 + 8 * n], 16) for n in range(13)]
        size, name_size, total = fields[6], fields[11], fields[12]
        name = data[place + 110 : place + 110 + name_size - 1].decode()
        start = (place + 110 + name_size + 3) // 4 * 4
        content = data[start : start + size]
        assert (len(content), sum(content) & 0xFFFFFFFF) == (size, total)
        place = (start + size + 3) // 4 * 4
        if name == "TRAILER!!!":
            assert place == len(data), "what SWUpdate may not wait for"
            return found
        found[name] = content


@pytest.mark.parametrize("size", [0, 1, 3, 4, 511, 512, 513, 2**20 + 1])
def test_an_archive_holds_what_it_was_given_in_swupdates_order(tmp_path: Path, size: int) -> None:
    """Description first, its signature second; every size; nothing behind the end; the same bytes again."""
    payload = tmp_path / "a.tar"
    payload.write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    made = b"".join(pack_swu(b"text", b"signature", payload))
    assert list(members(made)) == ["sw-description", "sw-description.sig", "bundle.tar"]
    assert members(made)["bundle.tar"] == payload.read_bytes()
    assert made == b"".join(pack_swu(b"text", b"signature", payload))


def test_the_description_pins_what_git_pins() -> None:
    """The artifact's own digest, the version, where it goes, and one rename."""
    packaging = SwuPackaging(folder="/opt/models", hardware=("1.0", "2.0"))
    text = describe(packaging, "meter-reader", "1.2.0", digest_of(b"artifact")).decode()
    for part in (
        'version = "1.2.0";',
        'hardware-compatibility: [ "1.0", "2.0" ];',
        'path = "/opt/models/meter-reader.tar";',
        f'sha256 = "{digest_of(b"artifact").removeprefix("sha256:")}";',
        'atomic-install = "true"',
    ):
        assert part in text


def test_what_swupdate_cannot_count_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written."""
    payload = tmp_path / "a.tar"
    payload.write_bytes(b"1234")
    monkeypatch.setattr(swu, "LARGEST_PAYLOAD", 3)
    with pytest.raises(Refused, match="more than SWUpdate takes"):
        next(pack_swu(b"", b"", payload))


@pytest.mark.parametrize("folder", ["relative", "/a/../b", '/a"b', "/a b", "/a//b", "/", "/.hidden", "/a;b", "/a\n"])
def test_a_folder_cannot_say_more_than_a_folder(folder: str) -> None:
    """What stands in quotes in a description cannot end them."""
    with pytest.raises(ValueError, match="folder"):
        SwuPackaging(folder=folder)

"""Published files out of memory: the same answers as from the disk, and never an old one."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.serve.published_cache import LARGEST, PublishedCache
from sites import Site

NAME = "metadata/timestamp.json"


@pytest.fixture
def site(module_site: Site) -> Site:
    module_site.empty()
    return module_site


def _publish(public: Path, name: str, body: bytes) -> None:
    place = public / name
    place.parent.mkdir(parents=True, exist_ok=True)
    incoming = place.with_name("incoming")
    incoming.write_bytes(body)
    incoming.replace(place)


def test_small_and_large_files_are_answered_alike(site: Site) -> None:
    """What is kept in memory has the headers of what is not, and tags, ranges and HEAD mean the same for both."""
    _publish(site.state / "public", "targets/small", b"s" * LARGEST)
    _publish(site.state / "public", "targets/large", b"l" * (LARGEST + 1))
    named = []
    for name in ("small", "large"):
        url = f"{site.url}/tuf/targets/{name}"
        plain = site.http.request("GET", url)
        assert (plain.status, len(plain.data)) == (200, int(plain.headers["content-length"]))
        tag = plain.headers["etag"]
        for condition in (tag, f"W/{tag}", f'"other", {tag}'):
            unchanged = site.http.request("GET", url, headers={"If-None-Match": condition, "Range": "bytes=0-1"})
            assert (unchanged.status, unchanged.headers["etag"], unchanged.data) == (304, tag, b"")
        assert site.http.request("GET", url, headers={"If-None-Match": '"other"'}).data == plain.data
        part = site.http.request("GET", url, headers={"Range": "bytes=2-4"})
        assert (part.status, part.data) == (206, plain.data[2:5])
        assert site.http.request("HEAD", url).headers["etag"] == tag
        dated = site.http.request("GET", url, headers={"If-Modified-Since": plain.headers["last-modified"]})
        assert dated.status == 304
        named.append(sorted(plain.headers.keys()))
    assert named[0] == named[1]


def test_what_was_published_last_is_answered_at_once(site: Site) -> None:
    """Also where it has the length of what it took the place of; and what was removed is gone."""
    for number in range(20):
        _publish(site.state / "public", NAME, b"%04d" % number)
        assert site.http.request("GET", f"{site.url}/tuf/{NAME}").data == b"%04d" % number
    (site.state / "public" / NAME).unlink()
    assert site.ask("GET", f"/tuf/{NAME}")[0] == 404


@pytest.mark.parametrize(
    "path",
    ["../muster.db", "targets/../../muster.db", "targets//small", "/etc/passwd", "link", "folder/small", "", "a\0b"],
)
def test_nothing_outside_the_folder_is_kept(tmp_path: Path, path: str) -> None:
    """No way up, no link, and no folder; the application says what it says of them."""
    public = tmp_path / "public"
    _publish(public, "targets/small", b"s")
    _publish(tmp_path, "muster.db", b"secret")
    (public / "link").symlink_to(tmp_path / "muster.db")
    (public / "folder").symlink_to(public / "targets")
    assert PublishedCache(public).find(path) is None


def test_memory_is_bounded(tmp_path: Path) -> None:
    """However many files are asked for."""
    cache = PublishedCache(tmp_path, most=10)
    for number in range(20):
        (tmp_path / str(number)).write_bytes(b"x")
        assert cache.find(str(number)) is not None
    assert len(cache) == 10

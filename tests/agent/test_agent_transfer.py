"""Transfer: going on where it stopped, several sources, pauses that the server asks for, and a cap on bandwidth."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
from agent_simulator import WINDOW_SECONDS, Bench, SimulatedServer, build, hash_of
from hypothesis import given
from hypothesis import strategies as st

from muster.agent.bandwidth import BURST_SECONDS, Bandwidth
from muster.agent.server import LONGEST_PAUSE, Answer
from muster.agent.sources import REST, Sources
from muster.agent.tags import strong

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
MIRRORS = ("https://one.example", "https://two.example", "https://three.example")


def _publish(bench: Bench, **changes: object):
    first = build("1.0.0")
    bench.repository.publish(1, [first.entry(1)], artifacts=(first,))
    for name, value in changes.items():
        setattr(bench.server, name, value)
    bench.start()
    return first


def _tar_headers(server: SimulatedServer) -> list[dict[str, str]]:
    paths = [path for method, path in server.requests if method == "GET"]
    return [dict(headers) for path, headers in zip(paths, server.headers, strict=True) if path.endswith(".tar")]


def _with_mirrors(bench: Bench) -> None:
    """Mirrors of the same files, each a server of its own."""
    bench.mirrors = {url: SimulatedServer(bench.repository) for url in MIRRORS}


def _asked_for_tar(bench: Bench) -> list[str]:
    """Which mirrors were asked for an artifact."""
    return [url for url, mirror in bench.mirrors.items() if _tar_headers(mirror)]


def test_a_download_goes_on_under_the_strong_tag_that_it_began_with(bench: Bench) -> None:
    """If-Range holds the tag, also after a restart."""
    first = _publish(bench, cut_after=1_024, etag='"the-tag"')
    bench.tick()
    bench.server.cut_after = None
    bench.start()
    assert bench.tick().problem is None
    assert _tar_headers(bench.server) == [{}, {"Range": "bytes=1024-", "If-Range": '"the-tag"'}]
    assert hash_of(first) == bench.running


def test_a_file_that_is_another_by_now_is_fetched_anew(bench: Bench) -> None:
    """No two files are mixed: the answer to another tag is the whole file, and it takes the part's place."""
    first = _publish(bench, cut_after=1_024, etag='"before"')
    bench.tick()
    part = next(bench.folder.staging.glob("*.part"))
    part.write_bytes(bytes(1_024))
    bench.server.cut_after, bench.server.etag = None, '"after"'
    assert bench.tick().problem is None
    assert hash_of(first) == bench.running


@pytest.mark.parametrize("etag", ['W/"weak"', "none", '"a\x7fb"', '"' + "x" * 300 + '"'])
def test_what_is_no_strong_tag_is_not_sent_back(bench: Bench, etag: str) -> None:
    """RFC 9110 forbids it; the name of the file, which holds its digest, is enough."""
    assert strong(etag) is None
    first = _publish(bench, cut_after=1_024, etag=etag)
    bench.tick()
    bench.server.cut_after = None
    assert bench.tick().problem is None
    assert _tar_headers(bench.server) == [{}, {"Range": "bytes=1024-"}]
    assert hash_of(first) == bench.running


@pytest.mark.parametrize("damage", [None, b"", b"\xff\n\n", b'https://x\n"a"\nmore\n', b"x" * 9_000])
def test_a_part_of_unknown_origin_is_not_continued(bench: Bench, damage: bytes | None) -> None:
    """Without its tag nobody can say what the part is of."""
    first = _publish(bench, cut_after=1_024)
    bench.tick()
    tag = next(bench.folder.staging.glob("*.tag"))
    tag.unlink() if damage is None else tag.write_bytes(damage)
    bench.server.cut_after = None
    assert bench.tick().problem is None
    assert _tar_headers(bench.server) == [{}, {}]
    assert hash_of(first) == bench.running
    assert list(bench.folder.staging.iterdir()) == []


def test_mirrors_spread_the_devices_and_each_device_keeps_its_order() -> None:
    """The order is a function of device and mirrors: a third of the devices begins at each of three."""
    servers = {url: SimulatedServer(None) for url in MIRRORS}
    first = Counter()
    for number in range(3_000):
        orders = [
            [
                source.url
                for source in Sources(SimulatedServer(None), given, f"device-{number}", lambda: 0.0).for_artifacts()
            ]
            for given in (servers, dict(reversed(servers.items())))
        ]
        assert orders[0] == orders[1]
        assert orders[0][-1] == ""
        first[orders[0][0]] += 1
    assert all(900 < first[url] < 1_100 for url in MIRRORS)


def test_artifacts_come_from_a_mirror_and_secrets_go_to_the_server_only(bench: Bench) -> None:
    """The server gives what is small; a mirror is never posted to, and sees no header that says who asks."""
    _with_mirrors(bench)
    first = _publish(bench)
    assert bench.tick().problem is None
    assert hash_of(first) == bench.running
    assert _tar_headers(bench.server) == []
    assert len(_asked_for_tar(bench)) == 1
    for mirror in bench.mirrors.values():
        assert {method for method, _ in mirror.requests} <= {"GET"}
        assert {name for headers in mirror.headers for name in headers} <= {"Range", "If-Range", "If-None-Match"}


def test_a_download_that_stops_goes_on_at_the_next_mirror_in_the_same_round(bench: Bench) -> None:
    """Nothing that came is asked for twice; the tag of one mirror is not sent to another."""
    _with_mirrors(bench)
    first = _publish(bench, away_for=".tar")
    for place, mirror in enumerate(bench.mirrors.values()):
        mirror.cut_after, mirror.etag = 512, f'"mirror-{place}"'
    assert bench.tick().problem == "server_away"
    wanted = sorted(headers.get("Range", "") for mirror in bench.mirrors.values() for headers in _tar_headers(mirror))
    assert wanted == ["", "bytes=1024-", "bytes=512-"]
    assert not any("If-Range" in headers for mirror in bench.mirrors.values() for headers in _tar_headers(mirror))
    bench.server.away_for = None
    assert bench.tick().problem is None
    assert _tar_headers(bench.server)[-1] == {"Range": "bytes=3072-"}
    assert hash_of(first) == bench.running


def test_wrong_bytes_from_one_mirror_are_made_up_for_by_the_next(bench: Bench) -> None:
    """In the same round, from the first byte on. The liar comes last for a while; the artifact is not to blame."""
    _with_mirrors(bench)
    first = _publish(bench)
    order = [source.url for source in bench.agent.device.sources.for_artifacts()]
    liar = bench.mirrors[order[0]]
    liar.repository = copy.copy(bench.repository)
    liar.repository.files = {path: bytes(len(data)) for path, data in bench.repository.files.items()}
    assert bench.tick().problem is None
    assert hash_of(first) == bench.running
    assert set(order[:2]) == set(_asked_for_tar(bench))
    assert _tar_headers(bench.mirrors[order[1]]) == [{}]
    assert [*order[1:], order[0]] == [source.url for source in bench.agent.device.sources.for_artifacts()]
    bench.tick(REST + 1)
    assert order == [source.url for source in bench.agent.device.sources.for_artifacts()]


def test_a_fleet_follows_through_its_mirrors_while_the_server_is_away(bench: Bench) -> None:
    """Metadata and documents too: TUF vouches for them, wherever they come from. Reports wait."""
    _with_mirrors(bench)
    first = _publish(bench)
    bench.server.away = True
    assert bench.tick().problem == "server_away"
    assert hash_of(first) == bench.running
    bench.tick(WINDOW_SECONDS)
    assert bench.state.confirmed is not None
    bench.server.away = False
    bench.tick()
    assert ("confirmed", None) in bench.story(first)


def _answer(**headers: str) -> Answer:
    return Answer(503, {name.replace("_", "-"): value for name, value in headers.items()}, iter(()))


@pytest.mark.parametrize(
    ("expected", "headers"),
    [
        (30.0, {"retry_after": "30"}),
        (0.0, {"retry_after": "0"}),
        (LONGEST_PAUSE, {"retry_after": "9" * 400}),
        (120.0, {"retry_after": "Sun, 06 Nov 1994 08:51:37 GMT", "date": DATE}),
        (120.0, {"retry_after": "Sunday, 06-Nov-94 08:51:37 GMT", "date": DATE}),
        (120.0, {"retry_after": "Sun Nov  6 08:51:37 1994", "date": DATE}),
        (0.0, {"retry_after": "Sun, 06 Nov 1994 08:00:00 GMT", "date": DATE}),
        (LONGEST_PAUSE, {"retry_after": "Sun, 06 Nov 2094 08:00:00 GMT", "date": DATE}),
        (None, {"retry_after": "Sun, 06 Nov 1994 08:51:37 GMT"}),
        (None, {"retry_after": "-5"}),
        (None, {"retry_after": "1e3"}),
        (None, {"retry_after": "\u0661"}),
        (None, {"retry_after": "Sun, 99 Nov 1994 08:51:37 GMT", "date": DATE}),
        (None, {"date": DATE}),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_an_hour_at_most(expected: float | None, headers: dict[str, str]) -> None:
    """A date counts from the answer's own, for the device's clock may be wrong."""
    assert expected == _answer(**headers).retry_after


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_retry_after_is_read_or_passed_over(retry_after: str, date: str) -> None:
    """Whatever a server writes there: seconds within an hour, or nothing."""
    found = _answer(retry_after=retry_after, date=date).retry_after
    assert found is None or 0 <= found <= LONGEST_PAUSE


def test_a_server_that_asks_for_a_pause_is_not_asked_before_its_end(bench: Bench) -> None:
    """Even if the agent were called earlier; then it is."""
    first = _publish(bench, status=503, retry_after="600")
    outcome = bench.tick()
    assert (outcome.problem, outcome.away, outcome.retry_after) == ("server_away", True, 600.0)
    asked = len(bench.server.headers)
    outcome = bench.tick(599)
    assert (outcome.retry_after, len(bench.server.headers)) == (1.0, asked)
    bench.server.status = None
    assert bench.tick(1).problem is None
    assert hash_of(first) == bench.running


class _Clock:
    """Time that only pauses and `at` move."""

    def __init__(self) -> None:
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds


@given(
    st.floats(1_024, 1e8),
    st.lists(st.tuples(st.integers(0, 100_000), st.floats(0, 2)), min_size=1, max_size=60),
)
def test_no_more_than_the_cap_comes_in_any_stretch_of_time(rate: float, reads: list[tuple[int, float]]) -> None:
    """From any moment to any later one: at most the burst, the rate times the time, and the piece read last."""
    clock = _Clock()
    bandwidth = Bandwidth(rate, lambda: clock.now, clock.pause)
    seen = []
    for asked, idle in reads:
        clock.now += idle
        count = min(asked, bandwidth.piece)
        began = clock.now
        bandwidth.spend(count)
        seen.append((began, count))
    for first in range(len(seen)):
        came = 0
        for began, count in seen[first:]:
            came += count
            allowed = rate * (BURST_SECONDS + began - seen[first][0]) + bandwidth.piece
            assert came <= allowed * (1 + 1e-9) + 1

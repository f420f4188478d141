"""Samples over HTTP, from a device's queue to the server's folder and out of both again: the real server and client."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from captured import CLASS, MODEL, PURPOSE, SAMPLE, device, published, sample, taken, terms
from muster.agent.capture.owner import choose
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.queue import waiting
from muster.agent.capture.sending import Sender
from muster.agent.folder import DeviceFolder
from muster.agent.http_server import HttpServer
from muster.apply.ledger import events
from muster.kinds.capture import LARGEST_CHUNK, CaptureRecord
from muster.kinds.digest import digest_of
from muster.observe.storage import capture_senders, captures
from muster.serve.capture.store import CaptureStore, NotTakenError, Quotas
from muster.serve.guard import Access, Rates
from muster.serve.limits import Rate
from sites import SECRET, Site

DEVICE = {"Authorization": f"Bearer dev-1:{SECRET}"}
OCTETS = {**DEVICE, "Content-Type": "application/octet-stream"}


@pytest.fixture
def site(module_site: Site) -> Site:
    """The running server, one purpose declared, two devices enrolled, no samples."""
    module_site.empty()
    module_site.published = published(terms())
    CaptureStore(module_site.engine, module_site.state / "captures").sweep()
    for name in ("dev-1", "dev-2"):
        assert module_site.enrol(name)[0] == 201
    return module_site


def queue(path: Path, name: str = "dev-1") -> CapturePlace:
    """A device that consented."""
    place = device(path / name, terms(), device_id=name)
    choose(DeviceFolder(path / name), PURPOSE, given=True)
    return place


def send(site: Site, place: CapturePlace, name: str = "dev-1") -> Any:
    return Sender(place, HttpServer(site.url), lambda: f"Bearer {name}:{SECRET}").send()


def operator(site: Site) -> dict[str, str]:
    return {"Authorization": f"Bearer {site.keys.operator_token()}"}


def listed(site: Site, query: str = "") -> list[dict[str, Any]]:
    status, body = site.ask("GET", f"/v1/captures{query}", headers=operator(site))
    assert status == 200
    items: list[dict[str, Any]] = body["items"]
    return items


def contents(site: Site) -> list[Path]:
    return [path for path in (site.state / "captures").rglob("*") if path.is_file() and path.name != "lock"]


def record(content: bytes = b"x" * 64, identity: str = "0" * 32, **changes: Any) -> dict[str, Any]:
    said = {"id": identity, "shape": [len(content)], "size": len(content), "digest": digest_of(content)}
    return SAMPLE | said | changes


def begin(site: Site, said: Any, headers: dict[str, str] = DEVICE) -> tuple[int, Any]:
    return site.ask("POST", "/v1/captures", body=json.dumps(said), headers=headers)


def chunk(site: Site, body: bytes, offset: Any = 0, identity: str = "0" * 32, **options: Any) -> tuple[int, Any]:
    path = f"/v1/captures/{identity}/content?offset={offset}"
    return site.ask("POST", path, body=body, headers=options.get("headers", OCTETS))


def test_a_sample_comes_over_and_who_sent_it_stays_apart(site: Site, tmp_path: Path) -> None:
    """The record and the content say nothing of the device; a random id alone joins the three."""
    place = queue(tmp_path)
    frame = sample(3, elements=64, failure_mode="glare", locale="de-DE")
    taken(place, frame)
    assert send(site, place).samples == 1
    (item,) = listed(site)
    assert tuple(item[name] for name in ("failureMode", "locale", "deviceClass", "release")) == (
        "glare",
        "de-DE",
        CLASS,
        "meter-reader/1.0.0",
    )
    path = f"/v1/captures/{item['id']}/content"
    assert site.ask("GET", path, headers=operator(site)) == (200, frame.frame.tobytes())
    assert "dev-1" not in json.dumps(item)
    (file,) = contents(site)
    assert file.read_bytes() == frame.frame.tobytes()
    with site.engine.connect() as connection:
        assert "dev-1" not in str(connection.execute(captures.select()).all())
        assert [(item["id"], "dev-1")] == [tuple(row) for row in connection.execute(capture_senders.select())]


def test_a_content_is_kept_once_and_goes_with_the_last_that_sent_it(site: Site, tmp_path: Path) -> None:
    """Two devices saw the same; one withdraws, then the other."""
    places = {name: queue(tmp_path, name) for name in ("dev-1", "dev-2")}
    for name, place in places.items():
        taken(place, sample(5), sample(5))
        assert send(site, place, name).samples == 2
    assert (len(listed(site)), len(contents(site))) == (4, 1)
    for name, left in (("dev-1", 2), ("dev-2", 0)):
        choose(DeviceFolder(tmp_path / name), PURPOSE, given=False)
        assert send(site, places[name], name).erased == 1
        assert left == len(listed(site))
        assert (left > 0) == bool(contents(site))


def test_withdrawing_erases_at_both_ends_and_the_ledger_says_how_many(site: Site, tmp_path: Path) -> None:
    """What is complete, what has begun, and what waits; the ledger names no device."""
    place = queue(tmp_path)
    taken(place, sample(1), sample(2))
    send(site, place)
    begin(site, record(identity="1" * 32))
    chunk(site, b"half", identity="1" * 32)
    taken(place, sample(3))
    choose(DeviceFolder(tmp_path / "dev-1"), PURPOSE, given=False)
    assert waiting(place) == []
    assert send(site, place).erased == 1
    assert [] == listed(site) == contents(site)
    with site.engine.connect() as connection:
        assert [] == connection.execute(captures.select()).all() == connection.execute(capture_senders.select()).all()
        (event,) = (event for event in events(connection) if event.event == "captures-erased")
    assert event.body == {"purpose": PURPOSE, "by": "device", "count": 3}


def test_one_device_cannot_touch_what_another_sent(site: Site) -> None:
    """Not add, not take over, not erase, whatever id it names."""
    begin(site, record())
    other = {"Authorization": f"Bearer dev-2:{SECRET}"}
    assert begin(site, record(), other)[0] == 404
    assert chunk(site, b"x", headers={**OCTETS, **other})[0] == 404
    assert site.ask("POST", "/v1/captures/erase", json={"purpose": PURPOSE}, headers=other) == (200, {"erased": 0})
    assert chunk(site, b"x" * 64) == (200, {"received": 64, "complete": True})
    assert len(listed(site)) == 1


def test_strangers_are_refused_everywhere(site: Site) -> None:
    """Devices with their secret, operators with their token, and neither with the other's."""
    begin(site, record())
    chunk(site, b"x" * 64)
    path = f"/v1/captures/{'0' * 32}/content"
    for headers in ({}, {"Authorization": "Bearer dev-1:" + "t" * 43}, operator(site)):
        assert begin(site, record(identity="2" * 32), headers)[0] == 401
        assert (
            site.ask("POST", path, body=b"x", headers={**headers, "Content-Type": "application/octet-stream"})[0] == 401
        )
        assert site.ask("POST", "/v1/captures/erase", json={"purpose": PURPOSE}, headers=headers)[0] == 401
    for headers in ({}, DEVICE):
        assert site.ask("GET", "/v1/captures", headers=headers)[0] == 401
        assert site.ask("GET", path, headers=headers)[0] == 401
        assert site.ask("POST", "/v1/captures/forget", json={}, headers=headers)[0] == 401
    assert len(listed(site)) == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (record(purpose="undeclared"), 410),
        (record(model="other", release="other/1.0.0"), 410),
        (record(deviceClass="other"), 410),
        (record(size=65), 422),
        (record(dtype="object"), 422),
        (record(shape=[2**60, 2**60]), 422),
        (record(shape=[0], size=0), 422),
        (record(shape=[17 * 2**20], size=17 * 2**20), 422),
        (record(identity="../../etc/passwd"), 422),
        (record(label="x" * 3_000), 422),
        (record(deviceId="dev-1"), 422),
        ([], 422),
        ("x" * 70_000, 413),
    ],
    ids=[
        "purpose",
        "model",
        "class",
        "size",
        "dtype",
        "overflow",
        "nothing",
        "large",
        "id",
        "label",
        "more",
        "list",
        "body",
    ],
)
def test_hostile_records_are_refused(site: Site, said: Any, status: int) -> None:
    """And leave nothing."""
    assert status == begin(site, said)[0]
    assert contents(site) == []


def test_hostile_contents_are_refused(site: Site) -> None:
    """Too long, not what was declared, of another type, at no place, of no sample; the right one is then taken."""
    assert chunk(site, b"x")[0] == 404
    assert begin(site, record()) == (201, {"received": 0, "complete": False})
    assert chunk(site, b"x" * 65)[0] == 422
    assert chunk(site, b"x" * (LARGEST_CHUNK + 1))[0] == 413
    assert chunk(site, b"y" * 64)[0] == 422
    assert chunk(site, b"{}", headers={**DEVICE, "Content-Type": "application/json"})[0] == 415
    assert chunk(site, b"x", offset=9) == (409, {"received": 0, "complete": False})
    for offset in (-1, "x", "٣", 10**30):
        assert chunk(site, b"x", offset=offset)[0] in (400, 422)
    assert chunk(site, b"x", identity="..%2f..%2fkeys")[0] == 404
    assert listed(site) == []
    assert chunk(site, b"x" * 32) == (200, {"received": 32, "complete": False})
    assert begin(site, record()) == (201, {"received": 32, "complete": False})
    assert begin(site, record(label="8"))[0] == 422
    assert chunk(site, b"x" * 32, offset=32) == (200, {"received": 64, "complete": True})
    assert chunk(site, b"x" * 32, offset=32) == (200, {"received": 64, "complete": True})
    assert len(listed(site, f"?model={MODEL}&purpose={PURPOSE}")) == 1
    assert listed(site, "?model=other") == []


def test_a_person_erases_by_device_or_purpose_and_is_named(site: Site) -> None:
    """For a device that was lost; everything at once is refused."""
    begin(site, record())
    chunk(site, b"x" * 64)
    asked = {"by": "A Person <a@example.org>"}
    assert site.ask("POST", "/v1/captures/forget", json=asked, headers=operator(site))[0] == 422
    asked["device_id"] = "dev-1"
    assert site.ask("POST", "/v1/captures/forget", json=asked, headers=operator(site)) == (200, {"erased": 1})
    assert contents(site) == []
    with site.engine.connect() as connection:
        assert events(connection)[-1].body["by"] == "A Person <a@example.org>"


@pytest.fixture
def store(site: Site) -> CaptureStore:
    """Few of everything, and a clock that `late` moves."""
    site.late = timedelta()  # type: ignore[attr-defined]
    quotas = Quotas(device_samples=3, device_bytes=200, open_uploads=2, all_bytes=10_000)
    clock = lambda: datetime.now(UTC) + site.late  # type: ignore[attr-defined]  # noqa: E731
    return CaptureStore(site.engine, site.state / "captures", quotas, clock)


def whole(store: CaptureStore, number: int, content: bytes, name: str = "dev-1") -> None:
    said = CaptureRecord.model_validate_json(json.dumps(record(content, f"{number:032x}")))
    store.begin(name, said, terms(keep="1h"))
    store.add(name, said.id, 0, content)


def test_quotas_hold_for_each_device(store: CaptureStore) -> None:
    """In number, in bytes, and in what is begun; another device has its own."""
    whole(store, 1, b"a" * 80)
    whole(store, 2, b"b" * 80)
    with pytest.raises(NotTakenError, match="as much as is kept"):
        whole(store, 3, b"c" * 80)
    whole(store, 4, b"d")
    with pytest.raises(NotTakenError, match="as much as is kept"):
        whole(store, 5, b"e")
    whole(store, 6, b"f", "dev-2")
    for number in (7, 8):
        said = CaptureRecord.model_validate_json(json.dumps(record(b"g", f"{number:032x}")))
        store.begin("dev-2", said, terms())
    with pytest.raises(NotTakenError, match="as much as is kept"):
        whole(store, 9, b"h", "dev-2")


def test_samples_go_when_their_time_is_over(site: Site, store: CaptureStore) -> None:
    """They are not shown any longer at once, and erased by the next sweep, which the ledger tells."""
    whole(store, 1, b"a" * 64)
    assert len(store.page(None, None, "", 10)) == 1
    site.late = timedelta(hours=1)  # type: ignore[attr-defined]
    assert store.page(None, None, "", 10) == []
    with pytest.raises(NotTakenError):
        store.content(f"{1:032x}")
    assert store.sweep() == 1
    assert contents(site) == []
    with site.engine.connect() as connection:
        assert events(connection)[-1].body["by"] == "retention"


def test_what_a_stop_left_behind_is_swept(site: Site, store: CaptureStore) -> None:
    """Files that no record names: of a content that was moved before its row was written, and of an upload."""
    whole(store, 1, b"a" * 64)
    (kept,) = contents(site)
    orphans = [kept.with_name("f" * 64), site.state / "captures" / "incoming" / ("e" * 32)]
    for orphan in orphans:
        orphan.parent.mkdir(exist_ok=True)
        orphan.write_bytes(b"left")
    assert store.sweep() == 0
    assert [kept] == contents(site)


def test_a_device_that_has_another_secret_sends_with_it(site: Site) -> None:
    """The first use of a new secret ends the old one, whatever it is used for."""
    new = "n" * 43
    with_new = {"Authorization": f"Bearer dev-1:{new}"}
    assert site.ask("POST", "/v1/secret", json={"secret": new}, headers=DEVICE)[0] == 200
    assert begin(site, record())[0] == 201
    assert begin(site, record(), with_new)[0] == 201
    assert begin(site, record())[0] == 401


def test_samples_are_within_the_limits_of_their_device(tmp_path: Path) -> None:
    """One device that asks too often is told when to come back; another is not held up by it."""
    site = Site(tmp_path / "state", Access(rates=Rates(device=Rate(3, 0.001))))
    site.start()
    try:
        site.published = published(terms())
        for name in ("dev-1", "dev-2"):
            assert site.enrol(name)[0] == 201
        place = queue(tmp_path)
        taken(place, sample(1), sample(2))
        done = send(site, place)
        assert (done.samples, len(waiting(place))) == (1, 1)
        assert done.retry_after > 900
        assert begin(site, record(), {"Authorization": f"Bearer dev-2:{SECRET}"})[0] == 201
    finally:
        site.stop()

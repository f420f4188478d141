"""HTTP as devices, operators and probes see it: the real server on a loopback port."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from muster.agent.delivery import Delivery, Told, deliver
from muster.agent.http_server import HttpServer
from muster.agent.journal import Spooled
from muster.apply import ledger
from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.kinds.telemetry import Report
from muster.observe.inventory import announce_secret, remove
from muster.observe.status import write_status
from muster.observe.storage import running, writing
from muster.serve.answers import HttpError, parsed
from muster.serve.client import ControllerClient
from muster.serve.device_routes import _reports
from sites import SECRET, Site, report

PINS = {"model_hash": "sha256:" + "0" * 64, "config_version": "sha256:" + "1" * 64}


@pytest.fixture
def site(module_site: Site) -> Site:
    """The running server with an empty storage."""
    module_site.empty()
    return module_site


def test_health_depends_on_nothing_and_readiness_on_the_loop(site: Site) -> None:
    """/readyz is 503 with a reason until the loop has said that it is ready, and when it is late."""
    assert site.ask("GET", "/healthz") == (200, b"ok\n")
    status, body = site.ask("GET", "/readyz")
    assert (status, body["ready"]) == (503, False)
    now = datetime.now(UTC)
    for at, expected in ((now, 200), (now - timedelta(hours=1), 503)):
        with writing(site.engine) as connection:
            write_status(connection, "loop", {"at": at.isoformat(), "ready": True, "reason": "fine"}, at)
        assert site.ask("GET", "/readyz")[0] == expected


def test_metrics_are_prometheus_text(site: Site) -> None:
    """Names follow muster_<noun>_<unit>, and devices are counted."""
    site.enrol()
    status, body = site.ask("GET", "/metrics")
    assert status == 200
    assert b'muster_devices{device_class="cam-day"} 1.0' in body
    assert b"muster_reports_total" in body


def test_enrolment_is_idempotent_and_bound_to_its_secret(site: Site) -> None:
    """The same secret may ask again; another one is refused; a wrong token opens nothing."""
    assert site.enrol()[0] == 201
    assert site.enrol() == (201, {"device_id": "dev-1", "new": False})
    assert site.enrol(secret="t" * 43)[0] == 409
    assert site.enrol("dev-2", token="wrong")[0] == 401
    assert site.enrol("dev-2", secret="short")[0] == 422


def test_an_undeclared_class_cannot_enrol(site: Site) -> None:
    """Once the loop has named the declared classes, others are refused."""
    with writing(site.engine) as connection:
        write_status(connection, "classes", {"cam-lowlight": ["meter-reader"]}, datetime.now(UTC))
    status, body = site.enrol()
    assert (status, body["hint"]) == (409, "declared are cam-lowlight")


def test_a_report_is_taken_once(site: Site) -> None:
    """A batch that is sent again, because its answer was lost, counts once and is acknowledged again."""
    site.enrol()
    assert site.report(report(1), report(2)) == (200, {"accepted": 2, "new": 2, "last_sequence": 2})
    assert site.report(report(1), report(2)) == (200, {"accepted": 2, "new": 0, "last_sequence": 2})


def test_a_thousand_reports_come_as_lines(site: Site) -> None:
    """One a line, with or without a break behind the last, each taken once; one that is wrong refuses them all."""
    site.enrol()
    lines = [json.dumps(report(n, p50_ms=float(n))).encode() for n in range(1, 1_001)]
    headers = {"Authorization": f"Bearer dev-1:{SECRET}", "Content-Type": "application/x-ndjson; charset=utf-8"}
    for wrong in (b"{}", b'{"sequence":\n1}', b"", b"1"):
        body = b"\n".join([*lines[:5], wrong, lines[6]])
        assert site.ask("POST", "/v1/reports", body=body, headers=headers)[0] == 422
    assert site.ask("POST", "/v1/reports", body=b"\n".join([*lines, lines[0]]), headers=headers)[0] == 422
    for end, new in ((b"", 1_000), (b"\n", 0), (b"\r\n", 0)):
        said = site.ask("POST", "/v1/reports", body=b"\n".join(lines) + end, headers=headers)
        assert said == (200, {"accepted": 1_000, "new": new, "last_sequence": 1_000})
    with site.engine.connect() as connection:
        assert list(connection.execute(select(running.c.p50_ms)).scalars()) == [1_000.0]


def test_a_secret_that_held_before_does_not_hold_for_ever(site: Site) -> None:
    """A device that reported with it is refused as soon as it is revoked, or its secret was replaced."""
    site.enrol()
    assert site.report(report(1))[0] == 200
    with writing(site.engine) as connection:
        announce_secret(connection, "dev-1", "n" * 43)
    assert site.report(report(2))[0] == 200
    assert site.report(report(3), token="dev-1:" + "n" * 43)[0] == 200
    assert site.report(report(4))[0] == 401
    assert site.report(report(4), token="dev-1:" + "n" * 43)[0] == 200
    with writing(site.engine) as connection:
        remove(connection, "dev-1")
    assert site.report(report(5), token="dev-1:" + "n" * 43)[0] == 401


def test_an_agent_that_fell_behind_is_told_where_to_go_on(site: Site) -> None:
    """Its own delivery, over HTTP: nothing counts as sent, and it learns the server's last number."""
    site.enrol()
    site.report(report(1_000_000))
    spooled = [Spooled(report=Report.model_validate_json(json.dumps(report(n))), steady=True) for n in (7, 8)]
    server = HttpServer(site.url)
    behind = deliver(server, "dev-1", SECRET, spooled, newest=8)
    assert (behind.gone, behind.behind) == (0, 1_000_000)
    assert deliver(server, "dev-1", SECRET, spooled, newest=1_000_064) == Delivery(
        gone=2, told=Told(last_sequence=1_000_000)
    )


def test_a_device_speaks_for_itself_only(site: Site) -> None:
    """Another id, another secret, another model or no enrolment: nothing is taken."""
    assert site.report(report(1))[0] == 401
    site.enrol()
    site.enrol("dev-2", secret="t" * 43)
    assert site.report(report(1), token="dev-1:" + "t" * 43)[0] == 401
    assert site.report(report(1, device_id="dev-2"))[0] == 422
    assert site.report(report(1, model="other", release="other/1.0.0"))[0] == 422
    assert site.ask("POST", "/v1/reports", json=[report(1)])[0] == 401


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("not JSON", b"{", 422),
        ("no list", b"{}", 422),
        ("nothing", b"[]", 422),
        ("not a number", json.dumps([report(1, p50_ms=float("nan"))]).encode(), 422),
        ("unknown field", json.dumps([report(1, extra=1)]).encode(), 422),
        ("deep nesting", b"[" * 100_000, 422),
        ("too many", json.dumps([report(n) for n in range(1, 102)]).encode(), 422),
        ("too large", b" " * (256 * 1024 + 1), 413),
    ],
)
def test_hostile_bodies_are_refused(site: Site, name: str, body: bytes, status: int) -> None:
    """Every malformed body gets a 4xx with a reason, and the server goes on."""
    del name
    site.enrol()
    headers = {"Authorization": f"Bearer dev-1:{SECRET}"}
    got, answer = site.ask("POST", "/v1/reports", body=body, headers=headers)
    assert (got, bool(answer["error"])) == (status, True)
    assert site.report(report(1))[0] == 200


def test_a_stranger_is_turned_away_before_anything_is_parsed_or_queued(site: Site) -> None:
    """While the storage is locked and whatever the body holds: 401 at once, and no place in the queue is taken."""
    site.enrol()
    hostile = b"[" + b",".join([b"{}"] * 80_000) + b"]"
    with writing(site.engine):
        for body in (hostile, json.dumps([report(1)]).encode()):
            # The server does not read the body to its end, and may close the connection then.
            headers = {"Authorization": "Bearer nobody:nothing", "Connection": "close"}
            answer = site.ask("POST", "/v1/reports", body=body, headers=headers)
            assert answer[0] == 401
        assert site.enrol("dev-2", token="wrong", labels={"?" * n: n for n in range(100)})[0] == 401


def test_a_hostile_body_earns_one_complaint() -> None:
    """260 kB of empty objects are not worth a million complaints: the first bad report ends the look at them."""
    with pytest.raises(HttpError) as refused:
        asyncio.run(parsed(_reports.validate_json, b"[" + b",".join([b"{}"] * 80_000) + b"]"))
    complaint = refused.value.__cause__
    assert isinstance(complaint, ValidationError)
    assert complaint.error_count() < 20


def test_a_device_sends_one_request_after_the_other(site: Site) -> None:
    """A second request of a device while its first waits for the disk is put off, with the time to come back."""
    site.enrol()
    site.enrol("dev-2", secret="t" * 43)
    with ThreadPoolExecutor() as threads:
        with writing(site.engine):
            waiting = [threads.submit(site.report, report(1)) for _ in range(2)]
            done, _ = wait(waiting, timeout=10, return_when=FIRST_COMPLETED)
            assert [future.result()[0] for future in done] == [429]
        assert sorted(future.result()[0] for future in waiting) == [200, 429]
    assert site.report(report(2))[0] == 200


def test_published_files_support_ranges_and_etags_and_stay_in_their_folder(site: Site) -> None:
    """A download can be resumed, a poll can be answered with 304, and no path leaves the folder."""
    folder = site.state / "public" / "targets"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_bytes(b"0123456789")
    assert site.ask("GET", "/tuf/targets/file", headers={"Range": "bytes=4-"}) == (206, b"456789")
    etag = site.http.request("GET", site.url + "/tuf/targets/file").headers["etag"]
    assert site.ask("GET", "/tuf/targets/file", headers={"If-None-Match": etag})[0] == 304
    (folder / "link").unlink(missing_ok=True)
    (folder / "link").symlink_to(site.keys.operator_token_path)
    for path in ("/tuf/../keys/operator-token", "/tuf/%2e%2e/keys/operator-token", "/tuf/targets/link"):
        assert site.ask("GET", path)[0] == 404, path


def test_a_target_has_its_digest_for_a_tag_and_goes_on_only_under_it(site: Site) -> None:
    """The same on every replica: neither the time of the file nor its length counts. Metadata has no such name."""
    digest = "ab" * 32
    folder = site.state / "public" / "targets" / "artifacts"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{digest}.x.tar"
    path, tag = f"/tuf/targets/artifacts/{file.name}", f'"sha256:{digest}"'
    for moment in (1, 2):
        file.write_bytes(b"0123456789")
        os.utime(file, (moment, moment))
        answer = site.http.request("GET", site.url + path)
        assert tag == answer.headers["etag"]
        assert "immutable" in answer.headers["cache-control"]
    assert site.ask("GET", path, headers={"If-None-Match": tag})[0] == 304
    assert site.ask("GET", path, headers={"Range": "bytes=4-", "If-Range": tag}) == (206, b"456789")
    assert site.ask("GET", path, headers={"Range": "bytes=4-", "If-Range": '"another"'}) == (200, b"0123456789")
    metadata = site.state / "public" / "metadata"
    metadata.mkdir(exist_ok=True)
    (metadata / "timestamp.json").write_bytes(b"{}")
    assert "cache-control" not in site.http.request("GET", site.url + "/tuf/metadata/timestamp.json").headers


def test_operators_need_the_token_and_can_page(site: Site) -> None:
    """Inventory and ledger are closed without the operator token, and are read page by page with it."""
    for number in range(5):
        site.enrol(f"dev-{number}")
    with writing(site.engine) as connection:
        ledger.append(connection, "published", "k", {"generation": 1}, datetime.now(UTC))
    assert site.ask("GET", "/v1/devices")[0] == 401
    client = ControllerClient(site.url, site.state)
    assert [f"dev-{n}" for n in range(5)] == [device["deviceId"] for device in client.pages("/v1/devices", limit=2)]
    assert [event["key"] for event in client.pages("/v1/ledger")] == ["k"]
    with pytest.raises(Refused, match="limit must be a number"):
        client.get("/v1/devices", limit="many")


def test_an_operator_elsewhere_brings_the_token(site: Site, tmp_path: Path) -> None:
    """On a machine without the state folder the token itself is enough, and nothing that is none is sent."""
    token = (site.state / "keys" / "operator-token").read_text().strip()

    assert ControllerClient(site.url, tmp_path / "nowhere", token).get("/v1/status")["fleet"] == []
    with pytest.raises(Unusable, match="no token holds"):
        ControllerClient(site.url, site.state, "x\r\nHost: elsewhere")


def test_operators_read_one_spelling(site: Site) -> None:
    """Fields are in camel case at every depth; under `telemetry` stand the fixed keys that devices send."""
    site.enrol()
    with writing(site.engine) as connection:
        write_status(connection, "releases", {"meter-reader/1.0.0": PINS}, datetime.now(UTC))
    site.report(report(1, phase="rolled-back", error_code="low_confidence"))
    client = ControllerClient(site.url, site.state)
    device = next(client.pages("/v1/devices"))
    assert "model_hash" in device.pop("telemetry")
    status = client.get("/v1/status")
    assert status["releases"][0].pop("errorCodes") == {"low_confidence": 1}
    assert [name for name in names(device) | names(status) if "_" in name] == []
    assert device["errorCode"] == "low_confidence"


def names(value: Any) -> set[str]:
    """Every name in a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*(names(item) for item in value.values()))
    return set().union(*(names(item) for item in value)) if isinstance(value, list) else set()


def test_the_client_says_when_nobody_answers(site: Site) -> None:
    """A controller that is away is something to try again, not a traceback."""
    with pytest.raises(TryAgain, match="no controller answers"):
        ControllerClient("http://127.0.0.1:9", site.state).get("/v1/status")

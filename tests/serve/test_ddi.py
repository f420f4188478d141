"""The DDI API as both known clients use it: every line of what they need of a server, over HTTP."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from ddi_fleet import DDI_CLASS, DdiFleet, Device, details, outcome
from muster.observe.storage import writing
from muster.serve.ddi.desk import Desk, hear_health
from sites import SECRET, report


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DdiFleet]:
    """1.0.0 is on offer to everybody; tests of this fixture change nothing of that."""
    made = DdiFleet(tmp_path_factory.mktemp("ddi"))
    made.release("1.0.0")
    yield made
    made.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[DdiFleet]:
    """A fleet of one's own, to change."""
    made = DdiFleet(tmp_path)
    made.release("1.0.0")
    yield made
    made.stop()


def test_a_poll_tells_a_pause_and_where_to_go(fleet: DdiFleet) -> None:
    """200 with HAL; a pause that a clock can show, the same at every poll; a new device is asked for attributes."""
    device = fleet.device("poll-1")
    answers = [device.call("GET", "") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].headers["content-type"] == "application/hal+json"
    pauses = {answer.json()["config"]["polling"]["sleep"] for answer in answers}
    assert len(pauses) == 1
    assert re.fullmatch(r"0[0-9]:[0-5][0-9]:[0-5][0-9]", pauses.pop())
    assert set(answers[0].json()["_links"]) == {"deploymentBase", "configData"}
    assert answers[0].json()["_links"]["deploymentBase"]["href"].startswith(device.base)


def test_an_unchanged_answer_costs_no_body(fleet: DdiFleet) -> None:
    """304 to who names the ETag, and only to them."""
    device = fleet.device("etag-1")
    first = device.call("GET", "")
    again = device.call("GET", "", If_None_Match=first.headers["etag"])
    assert (again.status, again.data) == (304, b"")
    assert device.call("GET", "", If_None_Match='"other"').status == 200


def test_ids_are_numbers_in_text_that_derive_from_generations(fleet: DdiFleet) -> None:
    """The first id is the generation at which the release came on offer; nothing is on record before it is fetched."""
    device = fleet.device("id-1")
    href = device.poll()["deploymentBase"]
    assert fleet.client("id-1").actions == ()
    found = device.call("GET", href).json()
    document = fleet.site.published.documents["meter-reader", DDI_CLASS]
    assert found["id"] == str(document.entries[0].since)
    assert 1 <= int(found["id"]) < 2**31


def test_a_deployment_is_one_chunk_with_one_file(fleet: DdiFleet) -> None:
    """Texts where clients assert texts, an integer size, three digests, links for both kinds of clients."""
    device = fleet.device("chunk-1")
    found = details(device)
    assert {"download": "forced", "update": "forced"}.items() <= found["deployment"].items()
    [chunk] = found["deployment"]["chunks"]
    [file] = chunk["artifacts"]
    assert (chunk["name"], chunk["version"], chunk["part"]) == ("meter-reader", "1.0.0", "bApp")
    assert file["filename"] == "meter-reader-1.0.0.swu"
    assert set(file["_links"]) == {"download", "download-http", "md5sum", "md5sum-http"}
    data = device.call("GET", file["_links"]["download-http"]["href"]).data
    assert len(data) == file["size"]
    for name, expected in file["hashes"].items():
        assert hashlib.new(name, data).hexdigest() == expected
    line = device.call("GET", file["_links"]["md5sum"]["href"]).data.decode()
    assert line == f"{file['hashes']['md5']}  {file['filename']}"
    listed = device.call("GET", f"/softwaremodules/{found['id']}/artifacts").json()
    assert listed == chunk["artifacts"]


def test_links_follow_a_proxy_that_ends_tls(fleet: DdiFleet) -> None:
    """They begin with the scheme that the client used, and then none says plain HTTP."""
    device = fleet.device("proxy-1")
    href = device.call("GET", "", X_Forwarded_Proto="https").json()["_links"]["deploymentBase"]["href"]
    assert href.startswith("https://127.0.0.1")
    plain = href.replace("https:", "http:")
    [chunk] = device.call("GET", plain, X_Forwarded_Proto="https").json()["deployment"]["chunks"]
    assert set(chunk["artifacts"][0]["_links"]) == {"download", "md5sum"}


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        ("bytes=0-9", 206, [(0, 10)]),
        ("bytes=100-", 206, [(100, None)]),
        ("bytes=-7", 206, [(-7, None)]),
        ("bytes=5-999999999", 206, [(5, None)]),
        ("bytes=0-3,10-19, -5", 206, [(0, 4), (10, 20), (-5, None)]),
        ("bytes=999999999-", 416, []),
        ("bytes=9-3", 416, []),
        ("bytes=-0", 416, []),
        ("bytes=x", 416, []),
        ("lines=1-2", 416, []),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 400, 2)), 416, []),
    ],
)
def test_ranges(fleet: DdiFleet, wanted: str, status: int, expected: list[tuple[int, int | None]]) -> None:
    """Every form of RFC 9110, single and in parts, and 416 with the size for what cannot be had."""
    device = ranged_device(fleet)
    url = details_of_ranged(device)
    whole = device.call("GET", url).data
    answer = device.call("GET", url, Range=wanted)
    assert answer.status == status
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(whole)}"
        return
    assert [whole[start:end] for start, end in expected] == parts_of(answer)


def ranged_device(fleet: DdiFleet) -> Device:
    if fleet.client("range-1").device is None:
        fleet.device("range-1")
    return Device(fleet.site, "range-1", {"Authorization": f"TargetToken {SECRET}"})


def details_of_ranged(device: Device) -> str:
    return str(details(device)["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"])


def parts_of(answer: Any) -> list[bytes]:
    kind = answer.headers["content-type"]
    if not kind.startswith("multipart/byteranges"):
        return [answer.data]
    message = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.data)
    return [part.get_payload(decode=True) for part in message.get_payload()]


def test_a_download_is_resumed_by_a_strong_etag(fleet: DdiFleet) -> None:
    """The ETag is the file's SHA-1; a range of another file is not mixed in, and a file that changed is refused."""
    device = ranged_device(fleet)
    url = details_of_ranged(device)
    whole = device.call("GET", url)
    assert whole.headers["etag"] == f'"{hashlib.sha1(whole.data, usedforsecurity=False).hexdigest()}"'
    assert device.call("GET", url, Range="bytes=5-", If_Range=whole.headers["etag"]).status == 206
    assert device.call("GET", url, Range="bytes=5-", If_Range='"other"').status == 200
    assert device.call("GET", url, If_Match=whole.headers["etag"].strip('"')).status == 200
    assert device.call("GET", url, If_Match='"other"').status == 412


def test_only_who_shows_a_token_is_answered(fleet: DdiFleet) -> None:
    """401 without a body: no token, another's, one in the wrong words, a gateway token where there is none."""
    device = fleet.device("auth-1")
    fleet.site.enrol("auth-2", device_class=DDI_CLASS, secret="t" * 43)
    for given in (
        "",
        f"TargetToken {'t' * 43}",
        f"targettoken {SECRET}",
        f"TargetToken  {SECRET}",
        f"Bearer {SECRET}",
        "GatewayToken ",
        f"GatewayToken {SECRET}",
    ):
        answer = Device(fleet.site, "auth-1", {"Authorization": given} if given else {}).call("GET", "")
        assert (answer.status, answer.data) == (401, b""), given
    assert device.call("GET", "").status == 200


def test_a_device_never_learns_of_anothers_actions(fleet: DdiFleet) -> None:
    """404 for ids that are not its own, whether or not somebody has them."""
    fleet.device("foreign-1")
    other = fleet.device("foreign-2")
    for call in (
        ("GET", "/deploymentBase/999"),
        ("GET", "/deploymentBase/0"),
        ("GET", "/deploymentBase/x"),
        ("GET", "/deploymentBase/99999999999999999999999999"),
        ("GET", "/cancelAction/1"),
        ("GET", "/installedBase/1"),
        ("GET", "/softwaremodules/1/artifacts/meter-reader-1.0.0.swu"),
        ("GET", "/confirmationBase"),
    ):
        assert other.call(*call).status == 404, call
    assert other.feedback("/deploymentBase/999", "closed", "success") == 404


def test_a_device_with_the_native_agent_is_no_ddi_client(fleet: DdiFleet) -> None:
    """Its class says how its devices talk."""
    fleet.site.enrol("native-1")
    assert Device(fleet.site, "native-1", {"Authorization": f"TargetToken {SECRET}"}).call("GET", "").status == 404


def test_what_is_not_understood_is_refused_in_hawkbits_shape(fleet: DdiFleet) -> None:
    """400 for values, 405 for verbs, 406 and 415 for media types, 413 for size; none is a failure of the server."""
    device = fleet.device("hostile-1")
    details(device)
    action = f"/deploymentBase/{details(device)['id']}/feedback"
    ok = {"execution": "proceeding", "result": {"finished": "none"}}
    for body in (
        {},
        {"status": {}},
        {"status": {**ok, "execution": "Closed"}},
        {"status": {"execution": "closed"}},
        [],
    ):
        answer = device.call("POST", action, body)
        assert (answer.status, answer.json()["errorCode"]) == (400, "hawkbit.server.error.rest.body.notReadable")
    assert device.call("DELETE", "").status == 405
    assert device.call("GET", "", Accept="text/html").status == 406
    assert device.call("GET", "", Accept="application/json").headers["content-type"] == "application/json"
    assert device.call("POST", action, {"status": ok}, Content_Type="text/plain").status == 415
    assert device.call("POST", action, {"status": {**ok, "details": ["x" * 70_000]}}).status == 413
    assert device.call("GET", f"{fleet.site.url}/DEFAULT/controller/v1/{'x' * 300}").status == 400


def test_feedback_is_taken_as_both_clients_send_it(fleet: DdiFleet) -> None:
    """Old members, progress and a missing time do no harm; `rejected` closes nothing; `closed` with none is success."""
    device = fleet.device("feedback-1")
    action = f"/deploymentBase/{details(device)['id']}"
    assert device.feedback(action, "rejected", "none", "busy") == 200
    assert device.feedback(action, "proceeding", "none", progress={"cnt": 1, "of": 2}, code=7) == 200
    assert "deploymentBase" in device.poll()
    assert device.feedback(action, "closed", "none") == 200
    assert device.feedback(action, "proceeding", "none") == 410
    links = device.poll()
    assert ("deploymentBase" in links, "installedBase" in links) == (False, True)
    installed = device.call("GET", f"{links['installedBase']}?actionHistory=-1").json()
    assert installed["actionHistory"] == {"status": "INSTALLED", "messages": ["busy"]}
    assert device.call("GET", f"{action}?actionHistory=1").status == 200


def test_quotas_hold_and_let_the_end_through(fleet: DdiFleet) -> None:
    """More than fifty details are 429, more than a hundred attributes too; long ones 400."""
    device = fleet.device("quota-1")
    action = f"/deploymentBase/{details(device)['id']}"
    assert device.feedback(action, "proceeding", "none", *map(str, range(51))) == 429
    assert device.put_attributes({f"k{n}": "v" for n in range(100)}) == 200
    assert device.put_attributes({"one-more": "v"}) == 429
    assert device.put_attributes({"k0": "v" * 129}) == 400
    nonsense = {"muster.meter-reader.model_hash": "nonsense"}
    assert device.put_attributes({"k0": None, **nonsense}) == 400
    assert len(fleet.client("quota-1").attributes) == 100


def test_attributes_merge_replace_and_go(fleet: DdiFleet) -> None:
    """As hawkBit: merge unless told otherwise, null removes; the server asks no more until it wants them again."""
    device = fleet.device("attributes-1")
    assert device.put_attributes({"a": "1", "b": 2, "c": True}) == 200
    assert "configData" not in device.poll()
    assert device.put_attributes({"a": None, "d": "4"}) == 200
    assert fleet.client("attributes-1").attributes == {"b": "2", "c": "true", "d": "4"}
    assert device.put_attributes({"b": ""}, "remove") == 200
    assert device.put_attributes({"e": "5"}, "replace") == 200
    assert fleet.client("attributes-1").attributes == {"e": "5"}
    assert device.put_attributes({"e": "5"}, "explode") == 400
    assert device.put_attributes({"muster.time_zone": "Mars/Olympus"}) == 400
    assert device.put_attributes({"muster.time_zone": "../../etc/passwd"}) == 400
    assert device.put_attributes({"muster.time_zone": "Europe/Berlin"}) == 200
    assert device.put_attributes({"muster.time_zone": None}) == 200
    device.install()
    assert "configData" in device.poll()


def test_success_is_installed_and_health_needs_a_second_signal(own: DdiFleet) -> None:
    """`closed` with success is `activated`; what the application says before the window is over changes nothing."""
    device = own.device()
    assert device.install() == "1.0.0"
    assert outcome(own, "1.0.0") == {"activated": 1}
    entry = own.site.published.documents["meter-reader", DDI_CLASS].entries[0]
    said = {
        "muster.meter-reader.model_hash": entry.model_hash,
        "muster.meter-reader.config_version": entry.config_version,
        "muster.meter-reader.health": "ok",
    }
    assert device.put_attributes(said) == 200
    assert outcome(own, "1.0.0") == {"activated": 1}, "the window is ten minutes"
    assert device.put_attributes({**said, "muster.meter-reader.health": "two labels never come"}) == 200
    assert outcome(own, "1.0.0") == {"rolled-back": 1}
    assert "deploymentBase" not in device.poll(), "what failed here is not offered here again"


def test_the_second_signal_counts_once_the_window_is_over(own: DdiFleet) -> None:
    """Declared digests and `ok`: confirmed after the window, healthy the next time; other digests prove nothing."""
    device = own.device()
    device.install()
    entry = own.site.published.documents["meter-reader", DDI_CLASS].entries[0]
    later = datetime.now(UTC) + timedelta(microseconds=entry.health_window, seconds=5)
    desk = Desk(own.site.engine, lambda: own.site.published)
    said = {
        "muster.meter-reader.model_hash": "sha256:" + "0" * 64,
        "muster.meter-reader.config_version": entry.config_version,
        "muster.meter-reader.health": "ok",
    }
    told = []
    for model_hash in ("sha256:" + "0" * 64, entry.model_hash, entry.model_hash):
        assert device.put_attributes({**said, "muster.meter-reader.model_hash": model_hash}) == 200
        with writing(own.site.engine) as connection:
            hear_health(connection, desk.view(connection, "dev-1", later), later)
        told.append(outcome(own, "1.0.0"))
    assert told[0] == {"activated": 1}
    assert told[1] == {"confirmed": 1}
    assert told[2] == {"healthy": 1}


def test_health_comes_from_the_native_route_as_well(own: DdiFleet) -> None:
    """The application reports for itself under the device's secret."""
    device = own.device()
    device.install()
    entry = own.site.published.documents["meter-reader", DDI_CLASS].entries[0]
    runs = {"model_hash": entry.model_hash, "config_version": entry.config_version}
    for sequence, phase in enumerate(("confirmed", "healthy"), 1):
        assert own.site.report(report(sequence, device_class=DDI_CLASS, phase=phase, **runs))[0] == 200
    assert outcome(own, "1.0.0") == {"healthy": 1}

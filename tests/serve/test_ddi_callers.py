"""Whom the DDI API answers: the device itself, or the gateway for it; nobody that was revoked, waits, or guesses."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from ddi_fleet import DDI_CLASS, DdiFleet, Device
from muster.attest.state_keys import class_token
from muster.kinds.enrolment import EnrolmentSpec
from muster.observe.ddi import MOST_STRANGERS
from muster.observe.storage import writing
from muster.serve.ddi.calls import CALLS
from muster.serve.guard import Access, Rates
from muster.serve.limits import Rate
from muster.serve.proxies import Proxies
from sites import SECRET

OTHER = "t" * 43
NEW, OLD = "2100-01-01T00:00:00.000000+00:00", "2001-01-01T00:00:00.000000+00:00"
MANY = Rate(10**6, 10**6)
CLASS = {"muster.device_class": DDI_CLASS}
FEEDBACK = {"status": {"execution": "closed", "result": {"finished": "success"}}}
BODIES = {
    "config_data": {"data": CLASS},
    "feedback": FEEDBACK,
    "cancel_feedback": FEEDBACK,
    "installed_offline": {"name": "meter-reader", "version": "1.0.0"},
}


def certificate(name: str, verified: str = "SUCCESS") -> dict[str, str]:
    return {"X-Ssl-Client-Verify": verified, "X-Ssl-Client-Cn": name}


def target(secret: str) -> dict[str, str]:
    return {"Authorization": f"TargetToken {secret}"}


def enrol(fleet: DdiFleet, device_id: str, secret: str = SECRET) -> None:
    token = class_token(fleet.site.keys.enrolment_token(), DDI_CLASS, 1)
    said = {"device_class": DDI_CLASS, "labels": {"known": "yes"}, "token": token, "secret": secret}
    assert fleet.site.enrol(device_id, **said)[0] == 201


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DdiFleet]:
    """dev-1 and dev-2 have secrets; a-revoked had one; a-waiting waits for a person. The proxy is on this machine."""
    access = Access(Proxies((ip_network("127.0.0.0/8"),)), Rates(MANY, MANY, MANY))
    rules = EnrolmentSpec.model_validate(
        {"mode": "manual", "rule": {"matchLabels": {"known": "yes"}}, "secretLifetime": "1d"}
    )
    made = DdiFleet(tmp_path_factory.mktemp("ddi"), access=access, enrolment=rules)
    made.release("1.0.0")
    for device_id, secret in (("dev-1", SECRET), ("dev-2", OTHER), ("a-revoked", SECRET)):
        enrol(made, device_id, secret)
    assert made.operate("/v1/devices/a-revoked/revoke") == 200
    waiting = made.gateway("a-waiting")
    assert set(waiting.poll()) == {"configData"}
    assert waiting.put_attributes(CLASS) == 200
    yield made
    made.stop()


STRANGERS = {
    "nothing": ("dev-1", {}),
    "another's secret": ("dev-1", target(OTHER)),
    "the hash in place of the secret": ("dev-1", target(hashlib.sha256(SECRET.encode()).hexdigest())),
    "an agent's words": ("dev-1", {"Authorization": f"Bearer dev-1:{SECRET}"}),
    "another's certificate": ("dev-1", certificate("dev-2")),
    "its secret, another's certificate": ("dev-1", {**target(SECRET), **certificate("dev-2")}),
    "its certificate, another's secret": ("dev-1", {**target(OTHER), **certificate("dev-1")}),
    "not verified": ("dev-1", certificate("dev-1", "FAILED:expired")),
    "a certificate of one that is not enrolled": ("dev-9", certificate("dev-9")),
    "hawkBit's headers": ("dev-1", {"X-Controller-Id": "dev-1", "X-Authority": "x"}),
    "revoked, with its secret": ("a-revoked", target(SECRET)),
    "revoked, with a certificate": ("a-revoked", certificate("a-revoked")),
    "revoked, behind the gateway": ("a-revoked", None),
    "waiting, behind the gateway": ("a-waiting", None),
    "waiting, with a certificate": ("a-waiting", certificate("a-waiting")),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_no_call_answers_who_proves_nothing(fleet: DdiFleet, name: str) -> None:
    """401 without a body to every call, and nothing is written."""
    device_id, headers = STRANGERS[name]
    device = fleet.gateway(device_id) if headers is None else Device(fleet.site, device_id, headers)
    before = rows(fleet)
    for call in CALLS:
        path = call.path.format(action_id=1, module_id=1, filename="meter-reader-1.0.0.swu")
        answer = device.call(call.method, path, BODIES.get(call.handler))
        assert (answer.status, answer.data) == (401, b""), call.handler
    assert rows(fleet) == before


def rows(fleet: DdiFleet) -> list[object]:
    found: list[object] = []
    with fleet.site.engine.connect() as connection:
        for table in ("devices", "enrolments", "ddi_clients", "ddi_actions", "running"):
            found += [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]
    return found


def test_a_certificate_is_enough_for_its_own_device(fleet: DdiFleet) -> None:
    """Alone, and beside the device's own secret."""
    for headers in (certificate("dev-1"), {**certificate("dev-1"), **target(SECRET)}):
        assert Device(fleet.site, "dev-1", headers).call("GET", "").status == 200


def test_a_rotated_secret_holds_and_ends_the_old_one(fleet: DdiFleet) -> None:
    """Announced under the old one, which holds until the new one was used."""
    enrol(fleet, "dev-3")
    bearer = {"Authorization": f"Bearer dev-3:{SECRET}"}
    assert fleet.site.ask("POST", "/v1/secret", json={"secret": "n" * 43}, headers=bearer)[0] == 200
    tried = [
        (secret, Device(fleet.site, "dev-3", target(secret)).call("GET", "").status)
        for secret in (SECRET, "n" * 43, SECRET)
    ]
    assert [status for _, status in tried] == [200, 200, 401]


def test_a_gateways_client_is_let_in_as_its_class_says(fleet: DdiFleet) -> None:
    """By its rule at once; else it waits, is told nothing, and is served once a person accepted it."""
    known = fleet.gateway("gate-1")
    known.poll()
    assert known.put_attributes({**CLASS, "muster.label.known": "yes"}) == 200
    assert "deploymentBase" in known.poll()
    other = fleet.gateway("gate-2")
    other.poll()
    assert other.put_attributes(CLASS) == 200
    assert other.call("GET", "").status == 401
    assert fleet.operate("/v1/devices/gate-2/accept") == 200
    assert "deploymentBase" in other.poll()


def test_a_gateway_takes_nobodys_place(fleet: DdiFleet) -> None:
    """403: an id that is expected with a secret of its own, and labels that only people set."""
    secret = hashlib.sha256(OTHER.encode()).hexdigest()
    device = {"deviceId": "expected-1", "deviceClass": DDI_CLASS, "secretSha256": secret}
    assert fleet.operate("/v1/register", devices=[device]) == 200
    for device_id, said in (("expected-1", CLASS), ("claims-1", {**CLASS, "muster.label.fleet/ring": "last"})):
        client = fleet.gateway(device_id)
        client.poll()
        assert client.put_attributes(said) == 403
        assert fleet.client(device_id).device is None


def test_who_comes_in_the_name_of_a_revoked_device_begins_anew(fleet: DdiFleet) -> None:
    """What was installed under that id says nothing of the new device; ids of actions are not used again."""
    enrol(fleet, "again-1")
    first = Device(fleet.site, "again-1", target(SECRET))
    first.install()
    assert "deploymentBase" not in first.poll()
    [before] = [action.action_id for action in fleet.client("again-1").actions]
    assert fleet.operate("/v1/devices/again-1/revoke") == 200
    assert fleet.client("again-1").attributes == {}
    assert first.call("GET", "").status == 401
    assert fleet.operate("/v1/register", devices=[{"deviceId": "again-1", "deviceClass": DDI_CLASS}]) == 200
    enrol(fleet, "again-1", OTHER)
    second = Device(fleet.site, "again-1", target(OTHER))
    assert second.install() == "1.0.0"
    assert fleet.client("again-1").actions[-1].action_id > before


def test_guessing_is_limited_and_a_known_device_is_not_its_victim(tmp_path: Path) -> None:
    """429 in hawkBit's shape, with Retry-After, after a few wrong tokens; a device that proved itself goes on until it
    asks too often itself.
    """
    rates = Rates(device=Rate(6, 0.001), strangers=Rate(3, 0.001), enrolments=MANY)
    fleet = DdiFleet(tmp_path, access=Access(rates=rates))
    try:
        fleet.release("1.0.0")
        device = fleet.device()
        assert device.call("GET", "").status == 200
        guesses = [Device(fleet.site, f"dev-{n}", target(OTHER)).call("GET", "") for n in range(4, 9)]
        assert [answer.status for answer in guesses] == [401] * 3 + [429] * 2
        assert int(guesses[-1].headers["retry-after"]) >= 1
        assert guesses[-1].json()["errorCode"] == "hawkbit.server.error.quota.tooManyEntries"
        assert [device.call("GET", "").status for _ in range(6)] == [200] * 5 + [429]
    finally:
        fleet.stop()


@pytest.mark.parametrize("host", ["[", "[::1", "a b", "x:y:z", "", "\u00e9.example"])
def test_a_strange_host_is_no_failure_of_the_server(fleet: DdiFleet, host: str) -> None:
    """The address in links is what the client said; what is no address is refused or repeated, never a 5xx."""
    connection = http.client.HTTPConnection("127.0.0.1", fleet.site.port, timeout=10)
    connection.putrequest("GET", "/t/controller/v1/dev-2", skip_host=True)
    connection.putheader("Host", host.encode())
    connection.putheader("Authorization", f"TargetToken {OTHER}")
    connection.endheaders()
    assert connection.getresponse().status < 500
    connection.close()


def test_a_tenant_cannot_change_where_links_lead(fleet: DdiFleet) -> None:
    """It stays one part of the path."""
    device = Device(fleet.site, "dev-2", target(OTHER))
    answer = device.call("GET", f"{fleet.site.url}/a%3Fb%23%20c/controller/v1/dev-2")
    href = answer.json()["_links"]["deploymentBase"]["href"]
    assert href.startswith(f"{fleet.site.url}/a%3Fb%23%20c/controller/v1/dev-2/deploymentBase/")
    assert device.call("GET", href).status == 200


def test_strangers_that_went_silent_make_room(fleet: DdiFleet) -> None:
    """Beyond the quota a new one is told to come later, until those that wait have been silent for a day."""
    strangers = [(f"s-{n}", "{}", True, 0, NEW, NEW) for n in range(MOST_STRANGERS)]
    with writing(fleet.site.engine) as connection:
        connection.exec_driver_sql("INSERT INTO ddi_clients VALUES (?, ?, ?, ?, ?, ?)", strangers)
    assert fleet.gateway("stranger-1").call("GET", "").status == 429
    with writing(fleet.site.engine) as connection:
        connection.exec_driver_sql("UPDATE ddi_clients SET polled_at = ? WHERE device_id LIKE 's-%'", (OLD,))
    assert fleet.gateway("stranger-1").call("GET", "").status == 200

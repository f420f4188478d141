"""Who is let in: by class, token, registration, rule, person; and out again. Over HTTP, on the real server."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from muster.apply import ledger
from muster.attest.state_keys import class_token
from muster.kinds.enrolment import EnrolmentSpec
from muster.observe.counts import observed
from muster.observe.status import write_status
from muster.observe.storage import devices, writing
from muster.observe.tallies import read_tally, recount
from muster.serve.guard import Access, Rates
from muster.serve.limits import Rate
from sites import SECRET, Site, report

OTHER = "t" * 43
NEW = "n" * 43
BY = {"by": "Ada <ada@fleet.example>", "why": "she knows it"}
PINS = {"model_hash": "sha256:" + "0" * 64, "config_version": "sha256:" + "1" * 64}


@pytest.fixture(scope="module")
def module_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    rate = Rate(10**6, 10**6)
    site = Site(tmp_path_factory.mktemp("state") / "state", Access(rates=Rates(rate, rate, rate)))
    site.start()
    yield site
    site.stop()


@pytest.fixture
def site(module_site: Site) -> Site:
    module_site.empty()
    return module_site


def declare(site: Site, device_class: str = "cam-day", **spec: Any) -> str:
    """Let the loop say how a class enrols; the token of the class."""
    rules = EnrolmentSpec.model_validate(spec)
    now = datetime.now(UTC)
    with writing(site.engine) as connection:
        write_status(connection, "enrolment", {device_class: rules.model_dump(mode="json")}, now)
        write_status(connection, "releases", {"meter-reader/1.0.0": PINS}, now)
    return class_token(site.keys.enrolment_token(), device_class, rules.token_generation)


def operate(site: Site, path: str, **body: Any) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {site.keys.operator_token()}"}
    return site.ask("POST", path, json={**BY, **body}, headers=headers)


def look(site: Site, path: str) -> Any:
    status, said = site.ask("GET", path, headers={"Authorization": f"Bearer {site.keys.operator_token()}"})
    assert status == 200, said
    return said


def announce(site: Site, secret: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return int(site.ask("POST", "/v1/secret", json={"secret": secret}, headers=headers)[0])


def test_a_class_token_opens_its_class_only(site: Site) -> None:
    """Not another class, not after its generation was raised; and the fleet's token does not open the class."""
    token = declare(site, mode="token")
    assert site.enrol("a", token=token)[0] == 201
    assert site.enrol("b", token=token, device_class="cam-lowlight")[0] == 401
    assert site.enrol("c")[0] == 401
    assert site.enrol("d", device_class="cam-lowlight")[0] == 201
    newer = declare(site, mode="token", tokenGeneration=2)
    assert [site.enrol("e", token=one)[0] for one in (token, newer)] == [401, 201]


def test_pre_registered(site: Site) -> None:
    """Nobody else is let in; with the secret that was registered no token is needed, and no other secret will do."""
    token = declare(site, mode="pre-registered")
    status, said = site.enrol("a", token=token)
    assert (status, said["error"]) == (409, "a is not registered")
    expected = [
        {"deviceId": "a", "deviceClass": "cam-day", "labels": {"fleet/site": "north"}},
        {"deviceId": "b", "deviceClass": "cam-day", "secretSha256": hashlib.sha256(SECRET.encode()).hexdigest()},
    ]
    assert operate(site, "/v1/register", devices=expected)[0] == 200
    assert site.enrol("a")[0] == 401
    assert site.enrol("a", token=token, labels={"site": "x"})[0] == 201
    assert look(site, "/v1/devices/a")["labels"] == {"fleet/site": "north", "site": "x"}
    assert site.enrol("b", token=None, secret=OTHER)[0] == 401
    assert site.enrol("b", token=token, secret=OTHER)[0] == 409
    assert site.enrol("b", token=None, device_class="cam-lowlight")[0] == 409
    assert site.enrol("b", token=None)[0] == 201
    assert look(site, "/v1/enrolments")["items"] == []


def test_accepted_by_a_rule_or_by_a_person(site: Site) -> None:
    """Who does not fit the rule waits; asking again changes nothing; accepted, it is enrolled with its own secret."""
    token = declare(site, mode="manual", rule={"matchLabels": {"site": "lab"}})
    assert site.enrol("a", token=token, labels={"site": "lab"})[0] == 201
    assert site.enrol("b", token=token)[0] == 202
    assert site.enrol("b", token=token)[1] == {"device_id": "b", "new": False, "waiting": True}
    assert site.enrol("b", token=token, secret=OTHER)[0] == 409
    assert site.report(report(1, device_id="b"), token=f"b:{SECRET}")[0] == 401
    (waiting,) = look(site, "/v1/enrolments?state=waiting&class=cam-day")["items"]
    assert (waiting["deviceId"], waiting["state"]) == ("b", "waiting")
    assert operate(site, "/v1/devices/b/accept")[0] == 200
    assert operate(site, "/v1/devices/b/accept")[0] == 409
    assert site.enrol("b", token=token) == (201, {"device_id": "b", "new": False})
    assert site.report(report(1, device_id="b"), token=f"b:{SECRET}")[0] == 200
    with site.engine.connect() as connection:
        (event,) = ledger.events(connection)
    assert (event.event, event.body["deviceId"], event.body["by"], event.body["reason"]) == (
        "device-accepted", "b", *BY.values()
    )  # fmt: skip


def test_a_quota_counts_who_waits(site: Site) -> None:
    """Enrolled, waiting and expected together; who is known may ask again."""
    token = declare(site, mode="manual", quota=2, rule={"matchLabels": {"site": "lab"}})
    assert site.enrol("a", token=token)[0] == 202
    assert site.enrol("b", token=token, labels={"site": "lab"})[0] == 201
    status, said = site.enrol("c", token=token, labels={"site": "lab"})
    assert (status, said["error"]) == (409, "cam-day has 2 devices, and its quota is 2")
    assert operate(site, "/v1/register", devices=[{"deviceId": "d", "deviceClass": "cam-day"}])[0] == 409
    assert [site.enrol(name, token=token, labels={"site": "lab"})[0] for name in "ab"] == [202, 201]


def test_a_secret_is_rotated(site: Site) -> None:
    """Both hold until the new one was used, then the old one is worth nothing; only hashes are kept."""
    site.enrol()
    assert announce(site, NEW, f"dev-1:{SECRET}") == 200
    assert announce(site, NEW, f"dev-1:{SECRET}") == 200
    assert site.report(report(1))[0] == 200
    assert site.report(report(2), token=f"dev-1:{NEW}")[0] == 200
    assert site.report(report(3))[0] == 401
    assert announce(site, OTHER, f"dev-1:{SECRET}") == 401
    assert site.report(report(3), token=f"dev-1:{NEW}")[0] == 200
    with site.engine.connect() as connection:
        (row,) = connection.execute(devices.select()).mappings()
    assert NEW not in str(dict(row))
    assert (row["secret_hash"], row["next_secret_hash"]) == (hashlib.sha256(NEW.encode()).hexdigest(), None)


def test_a_second_announcement_replaces_the_first(site: Site) -> None:
    """A device that lost the one that it had announced announces another; the lost one opens nothing."""
    site.enrol()
    announce(site, OTHER, f"dev-1:{SECRET}")
    announce(site, NEW, f"dev-1:{SECRET}")
    assert [site.report(report(1), token=f"dev-1:{one}")[0] for one in (OTHER, NEW, SECRET)] == [401, 200, 401]


def test_an_old_secret_is_asked_to_be_rotated(site: Site) -> None:
    """Once it is older than its class lets it be, and not before."""
    token = declare(site, mode="token", secretLifetime="30d")
    site.enrol(token=token)
    assert "rotate" not in site.report(report(1))[1]
    with writing(site.engine) as connection:
        old = (datetime.now(UTC) - timedelta(days=31)).isoformat()
        connection.execute(update(devices).values(secret_at=old))
    assert site.report(report(2))[1]["rotate"] is True
    announce(site, NEW, f"dev-1:{SECRET}")
    assert "rotate" not in site.report(report(3), token=f"dev-1:{NEW}")[1]


def test_a_revoked_device_is_out_at_once_and_for_good(site: Site) -> None:
    """Its secret and its id are worth nothing, by any token; what it showed stays counted, and its silence is not."""
    token = declare(site, mode="token")
    site.enrol(token=token)
    site.enrol("dev-2", secret=OTHER, token=token)
    failed = {"phase": "failed", "error_code": "load_failed"}
    site.report(report(1, **failed))
    with site.engine.connect() as connection:
        before = observed(connection).exposures["meter-reader/1.0.0", "cam-day"]
    assert operate(site, "/v1/devices/dev-1/revoke")[0] == 200
    assert site.report(report(2))[0] == 401
    assert site.enrol(token=token)[0] == 409
    assert site.enrol(token=token, secret=NEW)[0] == 409
    assert [item["deviceId"] for item in look(site, "/v1/devices")["items"]] == ["dev-2"]
    described = look(site, "/v1/devices/dev-1")
    assert (described["state"], described["by"], described["why"]) == ("revoked", *BY.values())
    with writing(site.engine) as connection:
        assert observed(connection, datetime.now(UTC)).exposures["meter-reader/1.0.0", "cam-day"] == before
        kept = read_tally(connection)
        recount(connection)
        assert read_tally(connection) == kept
    assert operate(site, "/v1/devices/dev-1/revoke")[0] == 409
    assert operate(site, "/v1/devices/nobody/revoke")[0] == 409
    assert operate(site, "/v1/register", devices=[{"deviceId": "dev-1", "deviceClass": "cam-day"}])[0] == 200
    assert site.enrol(token=token, secret=NEW)[0] == 201


def test_labels_of_people_and_of_devices(site: Site) -> None:
    """What a person sets counts first, is told to the device, and can be taken back; each has a prefix of its own."""
    assert site.enrol("dev-2", labels={"fleet/owner": "me"})[0] == 409
    site.enrol(labels={"site": "north", "device/serial": "7"})
    assert operate(site, "/v1/devices/dev-1/labels", labels={"site": "south", "ring": "canary"})[1]["labels"] == {
        "site": "south", "ring": "canary", "device/serial": "7"
    }  # fmt: skip
    assert site.report(report(1))[1]["labels"] == {"site": "south", "ring": "canary"}
    for path, expected in (("label=site=south&label=ring=canary", ["dev-1"]), ("label=site=north", [])):
        assert [item["deviceId"] for item in look(site, f"/v1/devices?{path}")["items"]] == expected
    assert operate(site, "/v1/devices/dev-1/labels", labels={"device/serial": "8"})[0] == 409
    assert operate(site, "/v1/devices/dev-1/labels", labels={"never": None})[0] == 409
    assert operate(site, "/v1/devices/dev-1/labels", labels={"site": None, "ring": None})[1]["labels"] == {
        "site": "north", "device/serial": "7"
    }  # fmt: skip
    assert "labels" not in site.report(report(2))[1]
    with site.engine.connect() as connection:
        said = [(event.event, event.body["labels"], event.body["before"]) for event in ledger.events(connection)]
    assert said == [
        ("device-labelled", {"site": "south", "ring": "canary"}, {"site": "north", "ring": None}),
        ("device-labelled", {"site": None, "ring": None}, {"site": "south", "ring": "canary"}),
    ]


def test_too_many_labels_are_refused(site: Site) -> None:
    """32 in all, the device's own included."""
    site.enrol(labels={f"own{number}": "x" for number in range(31)})
    assert operate(site, "/v1/devices/dev-1/labels", labels={"one": "x"})[0] == 200
    assert operate(site, "/v1/devices/dev-1/labels", labels={"two": "x"})[0] == 409


@pytest.mark.parametrize(
    "path", ["/v1/register", "/v1/devices/a/accept", "/v1/devices/a/revoke", "/v1/devices/a/labels"]
)
def test_only_operators_do_so(site: Site, path: str) -> None:
    """Neither nobody nor a device; bodies are bounded and closed."""
    site.enrol()
    for headers in ({}, {"Authorization": f"Bearer dev-1:{SECRET}"}, {"Authorization": f"Bearer {SECRET}"}):
        assert site.ask("POST", path, json=BY, headers=headers)[0] == 401
    headers = {"Authorization": f"Bearer {site.keys.operator_token()}"}
    assert site.ask("POST", path, body="x" * 600_000, headers=headers)[0] == 413
    assert site.ask("POST", path, json={**BY, "more": 1}, headers=headers)[0] == 422


def test_devices_are_listed_page_by_page(site: Site) -> None:
    """By class and labels; every device once, in the order of ids, whatever the size of a page."""
    for number in range(9):
        labels = {"site": "north" if number % 2 else "south"}
        site.enrol(f"dev-{number}", labels=labels, device_class="cam-day" if number < 6 else "cam-lowlight")
    for limit in (1, 2, 100):
        found, after = [], ""
        while after is not None:
            page = look(site, f"/v1/devices?label=site=north&class=cam-day&limit={limit}&after={after}")
            found += [item["deviceId"] for item in page["items"]]
            after = page["next"]
        assert found == ["dev-1", "dev-3", "dev-5"]
    headers = {"Authorization": f"Bearer {site.keys.operator_token()}"}
    for wrong in ("label=site", "label=site=a&label=site=b", "class=%00", "after=" + "a" * 129, "limit=-1"):
        assert site.ask("GET", f"/v1/devices?{wrong}", headers=headers)[0] == 422, wrong


class TestRates:
    """429 with Retry-After, each limit for itself."""

    @pytest.fixture
    def tight(self, tmp_path: Path) -> Iterator[Site]:
        slow = 0.01
        rates = Rates(device=Rate(2, slow), strangers=Rate(3, slow), enrolments=Rate(5, slow))
        site = Site(tmp_path / "state", Access(rates=rates))
        site.start()
        yield site
        site.stop()

    def test_a_device_that_asks_too_often(self, tight: Site) -> None:
        """Its neighbours at the same address are not affected."""
        for name in ("dev-1", "dev-2"):
            tight.enrol(name)
        assert [tight.report(report(number))[0] for number in (1, 2, 3)] == [200, 200, 429]
        assert tight.report(report(1, device_id="dev-2"), token=f"dev-2:{SECRET}")[0] == 200
        body = json.dumps([report(4)])
        answer = tight.http.request(
            "POST",
            tight.url + "/v1/reports",
            body=body,
            headers={"Authorization": f"Bearer dev-1:{SECRET}"},
            retries=False,
        )
        assert (answer.status, 1 <= int(answer.headers["retry-after"]) <= 100) == (429, True)

    def test_guessing_ends_and_known_devices_go_on(self, tight: Site) -> None:
        """An address that proved nothing three times waits, on every route; a device that did prove itself does not."""
        tight.enrol()
        assert tight.report(report(1))[0] == 200
        assert [tight.report(report(2), token="dev-9:" + OTHER)[0] for _ in range(4)] == [401, 401, 401, 429]
        assert tight.ask("GET", "/v1/status", headers={"Authorization": "Bearer guessed"})[0] == 429
        assert tight.enrol("dev-2")[0] == 429
        assert tight.report(report(2))[0] == 200
        assert look(tight, "/v1/status")["fleet"]

    def test_enrolments_of_an_address(self, tight: Site) -> None:
        """Also those that would be let in."""
        assert [tight.enrol(f"dev-{number}")[0] for number in range(6)] == [201] * 5 + [429]

"""One device never speaks for another: every route of devices, with every mix of identities."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from muster.kinds.errors import Unusable
from muster.plan.world import Published
from muster.serve.application import ServeFolders, build_application
from muster.serve.fleet_view import FleetView
from muster.serve.guard import Access, Rates
from muster.serve.limits import Rate
from muster.serve.openapi import operations_of
from muster.serve.proxies import Proxies
from sites import SECRET, Site, report

OTHER = "t" * 43
NOWHERE = Path("nowhere")
MANY = Rate(10**6, 10**6)
CERTIFIED = {"X-Ssl-Client-Verify": "SUCCESS", "X-Ssl-Client-Cn": "dev-1"}


def device_routes() -> list[tuple[str, str]]:
    """(method, path) of every route that is described as one for devices."""
    folders = ServeFolders(*[NOWHERE] * 6)
    engine = create_engine("sqlite://")
    application = build_application(engine, FleetView(engine, Published), folders, timedelta())
    return [
        (method.upper(), path)
        for path, method, operation in operations_of(application.routes)
        if operation.caller == "device"
    ]


@dataclass(frozen=True)
class Mix:
    """Who a request says that it is from. `trusted`: it comes from the proxy that is believed."""

    name: str
    headers: dict[str, str]
    trusted: bool = True


def bearer(device_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {device_id}:{secret}"}


MIXES = [
    Mix("nothing", {}),
    Mix("not enrolled", bearer("dev-9", SECRET)),
    Mix("no secret", bearer("dev-1", "")),
    Mix("another's secret", bearer("dev-1", OTHER)),
    Mix("own secret, another's id", bearer("dev-2", SECRET)),
    Mix("two ids", bearer("dev-1:dev-2", SECRET)),
    Mix("an id in another case", bearer("DEV-1", SECRET)),
    Mix("the hash in place of the secret", bearer("dev-1", "0" * 64)),
    Mix("another scheme", {"Authorization": f"Basic dev-1:{SECRET}"}),
    Mix("a certificate from elsewhere", CERTIFIED, trusted=False),
    Mix("a certificate from elsewhere, and another's secret", {**CERTIFIED, **bearer("dev-1", OTHER)}, trusted=False),
    Mix("not verified", {**CERTIFIED, "X-Ssl-Client-Verify": "FAILED:expired"}),
    Mix("verified in another spelling", {**CERTIFIED, "X-Ssl-Client-Verify": "success"}),
    Mix("a name without a verdict", {"X-Ssl-Client-Cn": "dev-1"}),
    Mix("a verdict without a name", {"X-Ssl-Client-Verify": "SUCCESS"}),
    Mix("a certificate that names no device", {**CERTIFIED, "X-Ssl-Client-Cn": "CN=dev-1,O=x"}),
    Mix("a certificate of one that is not enrolled", {**CERTIFIED, "X-Ssl-Client-Cn": "dev-9"}),
    Mix("the secret of one, the certificate of another", {**CERTIFIED, **bearer("dev-2", OTHER)}),
    Mix("its certificate, a wrong secret", {**CERTIFIED, **bearer("dev-1", OTHER)}),
    Mix("the operator's header names", {"X-Device-Id": "dev-1", "X-Forwarded-User": "dev-1"}),
]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Site]]:
    """A server that trusts a proxy on this machine, and one that trusts one elsewhere."""
    made = {}
    for trusts, network in ((True, "127.0.0.0/8"), (False, "10.9.8.7")):
        access = Access(Proxies((ip_network(network),)), Rates(MANY, MANY, MANY))
        made[trusts] = Site(tmp_path_factory.mktemp("state") / "state", access)
        made[trusts].start()
        made[trusts].enrol("dev-1")
        made[trusts].enrol("dev-2", secret=OTHER)
    yield made
    for site in made.values():
        site.stop()


def body_of(path: str, device_id: str, sequence: int) -> bytes:
    """A body that the route would take."""
    bodies: dict[str, Any] = {
        "/v1/reports": [report(sequence, device_id=device_id)],
        "/v1/secret": {"secret": "n" * 43},
    }
    return json.dumps(bodies.get(path, {})).encode()


@pytest.mark.parametrize("mix", MIXES, ids=lambda mix: mix.name)
@pytest.mark.parametrize(("method", "path"), device_routes())
def test_no_mix_of_identities_opens_a_route(sites: dict[bool, Site], method: str, path: str, mix: Mix) -> None:
    """Refused, and nothing is taken: the inventory is as it was."""
    site = sites[mix.trusted]
    before = rows(site)
    for device_id in ("dev-1", "dev-2"):
        status, said = site.ask(method, path, body=body_of(path, device_id, 1), headers=mix.headers)
        assert (status, bool(said["error"])) == (401, True)
    assert rows(site) == before


def rows(site: Site) -> list[Any]:
    with site.engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT device_id, secret_hash, next_secret_hash, last_sequence FROM devices ORDER BY device_id"
        )
        return [tuple(row) for row in found]


def test_a_device_reports_for_itself_only(sites: dict[bool, Site]) -> None:
    """Whichever way it proved itself, a report in another's name is refused."""
    for headers in (bearer("dev-1", SECRET), CERTIFIED, {**CERTIFIED, **bearer("dev-1", SECRET)}):
        body = json.dumps([report(1, device_id="dev-2")])
        assert sites[True].ask("POST", "/v1/reports", body=body, headers=headers)[0] == 422


def test_a_certificate_that_a_trusted_proxy_verified_is_enough(sites: dict[bool, Site]) -> None:
    """Alone, or with the device's own secret; its headers in any case."""
    ways = [
        CERTIFIED,
        {**CERTIFIED, **bearer("dev-1", SECRET)},
        {name.lower(): value for name, value in CERTIFIED.items()},
        {"X-Ssl-Client-Verify": "NONE", **bearer("dev-1", SECRET)},
    ]
    for sequence, headers in enumerate(ways, 10):
        body = json.dumps([report(sequence)])
        assert sites[True].ask("POST", "/v1/reports", body=body, headers=headers)[1]["new"] == 1


def test_a_certificate_enrols_its_own_device_only(sites: dict[bool, Site]) -> None:
    """It stands in for the token; from elsewhere it does not."""
    body = {"device_id": "dev-3", "device_class": "cam-day", "labels": {}, "models": ["meter-reader"], "secret": SECRET}
    own = {"X-Ssl-Client-Verify": "SUCCESS", "X-Ssl-Client-Cn": "dev-3"}
    assert sites[True].ask("POST", "/v1/enrol", json=body, headers=CERTIFIED)[0] == 403
    assert sites[False].ask("POST", "/v1/enrol", json=body, headers=own)[0] == 401
    assert sites[True].ask("POST", "/v1/enrol", json=body, headers=own)[0] == 201


def test_two_of_a_header_are_refused(sites: dict[bool, Site]) -> None:
    """One could be the client's own."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", sites[True].port, timeout=10)
    connection.putrequest("POST", "/v1/reports")
    for name, value in (("X-Ssl-Client-Verify", "SUCCESS"), ("X-Ssl-Client-Cn", "dev-2"), ("X-Ssl-Client-Cn", "dev-1")):
        connection.putheader(name, value)
    connection.putheader("Content-Length", "2")
    connection.endheaders(b"[]")
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.parametrize(
    ("networks", "headers"),
    [(["10.0.0.0/33"], {}), (["proxy.example"], {}), ([], {"name": "X Y"}), ([], {"name": "X-Forwarded-For"})],
)
def test_what_cannot_be_trusted_is_refused_at_the_start(networks: list[str], headers: dict[str, str]) -> None:
    """A network that is none, a header that is none, one header for two things."""
    with pytest.raises(Unusable):
        Proxies.of(networks, headers)

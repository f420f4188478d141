"""A mixed fleet with a real controller behind the real server: cam-day has agents, cam-lowlight DDI clients."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from controllers import Scene
from fleets import make_class, make_policy
from muster.apply.key_setup import NAMED, new_named_key
from muster.attest.package_signature import package_certificate
from muster.daemon import Controller
from muster.kinds.canonical import canonical_json
from muster.kinds.device_class import SwuPackaging
from muster.kinds.enrolment import EnrolmentSpec
from muster.observe.ddi import Client, read_client
from muster.serve.application import ANYONE
from muster.serve.guard import Access
from scratch_repository import commit_all, write
from sites import SECRET, Site

DDI_CLASS = "cam-lowlight"


class DdiFleet:
    """Declare, tick, ask."""

    def __init__(
        self,
        folder: Path,
        *,
        install_folder: str = "/var/lib/muster/models",
        package: str = "swu",
        pause: str | None = None,
        access: Access = ANYONE,
        enrolment: EnrolmentSpec | None = None,
    ) -> None:
        self.scene = Scene.set(folder)
        native = make_class(DDI_CLASS, may_be_empty=True)
        packaging = SwuPackaging(folder=install_folder)
        spec = native.spec.model_copy(
            update={"agent": "ddi", "package": package, "swu": packaging, "enrolment": enrolment}
        )
        self.scene.declare(f"devices/classes/{DDI_CLASS}.yaml", native.model_copy(update={"spec": spec}))
        if pause:
            policy = make_policy().model_dump(mode="json", exclude_none=True)
            policy["spec"]["tiers"][0]["health"]["pollInterval"] = pause
            write(self.scene.repository, {"policies/default.yaml": canonical_json(policy)})
        _, declaration = new_named_key(self.scene.state, "swu", ["packages"])
        write(self.scene.repository, {"policies/keys/swu.yaml": declaration.encode()})
        commit_all(self.scene.repository, "Low-light cameras have SWUpdate")
        self.controller: Controller = self.scene.controller()
        self.site = Site(self.scene.state, access)
        self.site.start()

    def stop(self) -> None:
        self.site.stop()
        self.controller.close()

    @property
    def certificate(self) -> bytes:
        """What devices trust packages by."""
        return package_certificate((self.scene.state / "keys" / NAMED / "swu.pem").read_bytes())

    def release(self, version: str, share: str = "100%") -> None:
        """Commit a release, and publish."""
        self.scene.commit_release(version, {"canary": share, "fleet": share})
        self.tick()

    def take_back(self, version: str) -> None:
        """Commit that nobody gets a release any more, and publish."""
        self.release(version, "0%")

    def tick(self) -> None:
        self.scene.tick(self.controller)
        self.scene.tick(self.controller)
        self.site.published = self.controller.publisher.published()

    def device(self, device_id: str = "dev-1") -> Device:
        """A DDI device with a secret of its own."""
        assert self.site.enrol(device_id, device_class=DDI_CLASS)[0] == 201
        return Device(self.site, device_id, {"Authorization": f"TargetToken {SECRET}"})

    def client(self, device_id: str = "dev-1") -> Client:
        """What is on record of a client."""
        with self.site.engine.connect() as connection:
            return read_client(connection, device_id)

    def status(self) -> dict[str, Any]:
        """The loop's word of itself."""
        return self.site.ask("GET", "/v1/status", headers=self.operator)[1]

    def operate(self, path: str, **body: Any) -> int:
        """What a person asks by hand; the status of the answer."""
        asked = {"by": "Ada Owner <ada@fleet.example>", "why": "a test", **body}
        return self.site.ask("POST", path, json=asked, headers=self.operator)[0]

    def gateway(self, device_id: str) -> Device:
        """A client that shows the gateway's token for a device."""
        self.site.keys.make_gateway_token()
        token = self.site.keys.gateway_token_path.read_text().strip()
        return Device(self.site, device_id, {"Authorization": f"GatewayToken {token}"})

    @property
    def operator(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.site.keys.operator_token()}"}


@dataclass
class Device:
    """A client that calls as the known ones do."""

    site: Site
    device_id: str
    headers: dict[str, str]

    @property
    def base(self) -> str:
        return f"{self.site.url}/DEFAULT/controller/v1/{self.device_id}"

    def call(self, method: str, href: str, value: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
        url = href if href.startswith("http") else self.base + href
        kind = {"Content-Type": "application/json"} if value is not None else {}
        body = None if value is None else json.dumps(value).encode()
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.site.http.request(method, url, body=body, headers={**self.headers, **kind, **given})

    def poll(self) -> dict[str, str]:
        """Links by name."""
        answer = self.call("GET", "")
        assert answer.status == 200, answer.data
        return {name: link["href"] for name, link in answer.json()["_links"].items()}

    def feedback(self, action: str, execution: str, finished: str, *details: str, **more: Any) -> int:
        status = {"execution": execution, "result": {"finished": finished}, "details": list(details), **more}
        return self.call("POST", f"{action}/feedback", {"id": "", "time": "20260101T000000", "status": status}).status

    def attributes(self, mode: str | None = None, **data: Any) -> int:
        named = {name.replace("__", "."): value for name, value in data.items()}
        return self.put_attributes(named, mode)

    def put_attributes(self, data: dict[str, Any], mode: str | None = None) -> int:
        return self.call("PUT", "/configData", {"data": data, **({"mode": mode} if mode else {})}).status

    def install(self) -> str:
        """Do what SWUpdate does with what is on offer; the version that it installed."""
        href = self.poll()["deploymentBase"]
        found = self.call("GET", href).json()
        chunk = found["deployment"]["chunks"][0]
        action = f"/deploymentBase/{found['id']}"
        assert self.feedback(action, "proceeding", "none", "Installing") == 200
        assert self.call("GET", chunk["artifacts"][0]["_links"]["download"]["href"]).status == 200
        assert self.feedback(action, "closed", "success") == 200
        return str(chunk["version"])


def details(device: Device) -> dict[str, Any]:
    """The deployment that is on offer."""
    found: dict[str, Any] = device.call("GET", device.poll()["deploymentBase"]).json()
    return found


def outcome(fleet: DdiFleet, version: str) -> dict[str, int]:
    """Phases of the DDI class on a release."""
    for row in fleet.status()["releases"]:
        if (row["release"], row["deviceClass"]) == (f"meter-reader/{version}", DDI_CLASS):
            return {phase: count for phase, count in row["phases"].items() if count}
    return {}

"""The demo's simulated DDI clients: what SWUpdate does with a server, over HTTP, and the application beside it.

Simulated is the device. What it downloads it unpacks and holds against its digests (the signature is what the real
SWUpdate looks at), and its application runs the installed model on the frames of its camera, for real: what it says of
its health, it saw.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import urllib3

from muster.agent.runtime import OnnxRuntime
from muster.artifacts.bundle import CONFIG, MANIFEST, MODEL, read_bundle
from muster.artifacts.inference import answer, confident, normalize
from muster.artifacts.manifest import read_manifest
from muster.artifacts.swu import DESCRIPTION, PAYLOAD
from muster.artifacts.tensors import Tensor
from muster.kinds.ddi_attributes import HEALTHY, RUNTIME_VERSION, config_version_key, health_key, model_hash_key
from muster.kinds.digest import digest_of
from muster.kinds.errors import TryAgain
from muster.kinds.ppm import PPM
from muster.kinds.release import Inference

_HEAD: Final = 110
"""Bytes of a cpio header: magic, and thirteen numbers of eight hexadecimal digits."""


class Application:
    """What uses the model on devices with this camera. `frames` [N, ...]."""

    def __init__(self, model: str, frames: Tensor) -> None:
        self._model = model
        self._frames = frames
        self._tried: dict[str, dict[str, str]] = {}

    def attributes(self, bundle: bytes) -> Mapping[str, str]:
        """What it says of an installed bundle: what it loaded, and whether enough answers were confident."""
        digest = digest_of(bundle)
        if digest not in self._tried:
            self._tried[digest] = self._try(bundle)
        return self._tried[digest]

    def _try(self, bundle: bytes) -> dict[str, str]:
        files = read_bundle(bundle)
        config, runtime = Inference.model_validate_json(files[CONFIG]), OnnxRuntime()
        session = runtime.load(files[MODEL], "CPUExecutionProvider", config)
        _, confidence = answer(session.run(normalize(self._frames, config.input)))
        share = int(confident(confidence, config.thresholds).mean() * PPM)
        return {
            RUNTIME_VERSION: runtime.version,
            model_hash_key(self._model): digest_of(files[MODEL]),
            config_version_key(self._model): read_manifest(files[MANIFEST]).config_version,
            health_key(self._model): HEALTHY if share >= config.thresholds.min_confident else "low_confidence",
        }


@dataclass(frozen=True)
class Line:
    """A device's line to the server. Every call raises `TryAgain` if there is no answer, or one of 400 and above."""

    base: str
    secret: str
    pool: urllib3.PoolManager

    def call(self, method: str, href: str, value: Any = None) -> bytes:
        """The body of the answer. `href` is an address, or what follows `base`."""
        url = href if href.startswith("http") else self.base + href
        headers = {"Authorization": f"TargetToken {self.secret}", "Content-Type": "application/json"}
        body = None if value is None else json.dumps(value)
        try:
            got = self.pool.request(method, url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise TryAgain(f"{method} {url}: {error}") from error
        if got.status >= HTTPStatus.BAD_REQUEST:
            raise TryAgain(f"{method} {url}: {got.status}")
        return got.data

    def tell(self, attributes: Mapping[str, str]) -> None:
        """Put attributes beside those that are there."""
        self.call("PUT", "/configData", {"mode": "merge", "data": dict(attributes)})


class SimulatedClient:
    """One device. `fetched` counts the versions that it downloaded, `installed` is the file on its disk."""

    def __init__(self, device_id: str, line: Line, say: Callable[[bytes], Mapping[str, str]]) -> None:
        self.device_id = device_id
        self.installed: bytes | None = None
        self.fetched: Counter[str] = Counter()
        self._line = line
        self._say = say

    def step(self) -> None:
        """Poll, and do what there is to do. Raises `TryAgain`."""
        links = json.loads(self._line.call("GET", ""))["_links"]
        if "cancelAction" in links:
            href = links["cancelAction"]["href"]
            stop = json.loads(self._line.call("GET", href))["cancelAction"]["stopId"]
            self._feed_back(f"/cancelAction/{stop}", "closed", "success")
        elif "deploymentBase" in links:
            self._install(json.loads(self._line.call("GET", links["deploymentBase"]["href"])))
        if self.installed is not None:
            self._line.tell(self._say(self.installed))

    def _install(self, deployment: dict[str, Any]) -> None:
        action = f"/deploymentBase/{deployment['id']}"
        [chunk] = deployment["deployment"]["chunks"]
        [file] = chunk["artifacts"]
        self._feed_back(action, "proceeding", "none")
        package = self._line.call("GET", file["_links"]["download-http"]["href"])
        self.fetched[chunk["version"]] += 1
        bundle = unpacked(package) if hashlib.sha256(package).hexdigest() == file["hashes"]["sha256"] else None
        if bundle is None:
            self._feed_back(action, "closed", "failure")
            return
        self.installed = bundle
        self._feed_back(action, "closed", "success")

    def _feed_back(self, action: str, execution: str, finished: str) -> None:
        status = {"execution": execution, "result": {"finished": finished}, "details": ["a simulated client"]}
        self._line.call("POST", f"{action}/feedback", {"status": status})


def unpacked(package: bytes) -> bytes | None:
    """The payload of a `.swu`; None if it is not what `sw-description` says."""
    files, at = {}, 0
    while True:
        size, name_size = (int(package[at + place : at + place + 8], 16) for place in (54, 94))
        name = package[at + _HEAD : at + _HEAD + name_size - 1].decode()
        start = at + _HEAD + name_size
        start += -start % 4
        if name == "TRAILER!!!":
            break
        files[name] = package[start : start + size]
        at = start + size
        at += -at % 4
    expected = re.search(rb'sha256 = "([0-9a-f]{64})"', files[DESCRIPTION])
    payload = files[PAYLOAD]
    return payload if expected and hashlib.sha256(payload).hexdigest().encode() == expected[1] else None

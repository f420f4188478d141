"""A server in memory that satisfies the agent's `Server`, a TUF repository behind it, and artifacts to publish."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from muster.agent.agent import Agent, Outcome
from muster.agent.device import Surroundings
from muster.agent.enrol import enrol
from muster.agent.folder import DeviceFolder
from muster.agent.identity import make_identity
from muster.agent.journal import Slot
from muster.agent.moment import Moment
from muster.agent.runtime import OnnxRuntime, Runtime
from muster.agent.server import Answer
from muster.agent.setbacks import server_away
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle
from muster.artifacts.golden import dump_expected
from muster.artifacts.manifest import Manifest, list_files
from muster.artifacts.tensors import dump_tensors
from muster.attest.keys import new_private_key, public_half
from muster.attest.model_signature import sign_files
from muster.kinds.canonical import canonical_json
from muster.kinds.cohort import Selector
from muster.kinds.desired import (
    DesiredDocument,
    Entry,
    Halt,
    OrderedCohort,
    artifact_target,
    signature_target,
)
from muster.kinds.digest import digest_of
from muster.kinds.release import (
    Artifact,
    Inference,
    InferenceInput,
    InferenceOutput,
    Normalization,
    OnnxVersions,
    Thresholds,
)
from muster.kinds.telemetry import Report

START = datetime.now(UTC)
"""TUF's client compares expiry dates with the real clock, so the story begins now."""

MODEL_NAME = "meter-reader"
CLASS_NAME = "meter-a"
WINDOW_SECONDS = 60
TOKEN = "the-token"

BRIGHT = np.full((1, 4), 16, np.uint8)
"""A frame that every model of these tests answers with confidence."""
GREY = np.full((1, 4), 8, np.uint8)
"""A frame in between, which none of them does."""


def make_model(sharpness: float = 8.0) -> bytes:
    """Two labels, dark and bright: softmax of ± sharpness · (mean − 1/2)."""
    weights = np.array([[-sharpness] * 4, [sharpness] * 4], np.float32).T / 4
    bias = np.array([sharpness / 2, -sharpness / 2], np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["frame", "w", "b"], ["raw"]), helper.make_node("Softmax", ["raw"], ["scores"])],
        "brightness",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = onnx.ModelProto.SerializeToString(model)
    return data


def answers(frames: np.ndarray, sharpness: float) -> np.ndarray:
    """What `make_model` computes, in float64."""
    raw = 2 * sharpness * (frames.astype(np.float64).reshape(len(frames), -1).mean(axis=1) / 16 - 0.5)
    bright = 1 / (1 + np.exp(-raw))
    return np.stack([1 - bright, bright], axis=1)


def make_config(min_confident: int = 900_000) -> Inference:
    return Inference(
        input=InferenceInput(name="frame", shape=(4,), normalization=Normalization(kind="scale", divisor="16")),
        output=InferenceOutput(name="scores", labels=("dark", "bright")),
        thresholds=Thresholds(confidence="90%", min_confident=f"{min_confident / 10_000:g}%"),
    )


@dataclass(frozen=True)
class Built:
    """A release's artifact: the files of the bundle, and what a controller would publish about it."""

    version: str
    files: Mapping[str, bytes]
    provider: str = "CPUExecutionProvider"
    tar: bytes = b""
    signed: Mapping[str, str] | None = None
    """What the signature is made over; None: the files."""
    key: bytes | None = None
    unsigned: bool = False

    @property
    def data(self) -> bytes:
        return self.tar or pack_bundle(self.files)

    @property
    def artifact(self) -> str:
        return digest_of(self.data)

    @property
    def release(self) -> str:
        return f"{MODEL_NAME}/{self.version}"

    def entry(self, since: int, ppm: int = 1_000_000) -> Entry:
        return Entry(
            release=self.release,
            version=self.version,
            since=since,
            artifact=Artifact(digest=self.artifact, size=len(self.data)),
            model_hash=digest_of(self.files[MODEL]),
            config_version=digest_of(self.files[CONFIG]),
            runtime_version="1.31.1",
            provider=self.provider,
            health_window=f"{WINDOW_SECONDS}s",
            salt=self.release,
            ppm={"all": ppm},
        )


def build(
    version: str,
    *,
    sharpness: float = 8.0,
    model: bytes | None = None,
    expected: bytes | None = None,
    **changes: object,
) -> Built:
    """An artifact as `muster build` makes it, of a model that is small."""
    frames = np.arange(32, dtype=np.uint8).reshape(8, 4) % 17
    config = make_config()
    files = {
        MODEL: model or make_model(sharpness),
        CONFIG: canonical_json(config.model_dump(mode="json")),
        GOLDEN_INPUTS: dump_tensors({"frames": frames}),
        GOLDEN_EXPECTED: expected or dump_expected(answers(frames, sharpness)),
    }
    manifest = Manifest(
        model=MODEL_NAME,
        version=version,
        onnx=OnnxVersions(opset=17, ir=8),
        golden_tolerance="0.001",
        files=list_files(files),
    )
    return replace(Built(version, {**files, MANIFEST: manifest.dump()}), **changes)


class Repository:
    """A TUF repository as files in memory."""

    def __init__(self) -> None:
        self.signers = {role: CryptoSigner.generate_ed25519() for role in ("root", "targets", "snapshot", "timestamp")}
        self.files: dict[str, bytes] = {}
        self.targets: dict[str, TargetFile] = {}
        self.version = 0
        self.signing_key = new_private_key()
        root = Root(version=1, expires=START + timedelta(days=365), consistent_snapshot=True)
        for role, signer in self.signers.items():
            root.add_key(signer.public_key, role)
        self.root = self._sign(root, "1.root.json")

    def publish(
        self,
        generation: int,
        entries: list[Entry],
        *,
        artifacts: tuple[Built, ...] = (),
        halted: tuple[Halt, ...] = (),
        life: timedelta = timedelta(days=1),
        **declared: object,
    ) -> DesiredDocument:
        """Publish one document and the artifacts that it may name. `declared`: what the class declares beside."""
        document = DesiredDocument(
            model=MODEL_NAME,
            device_class=CLASS_NAME,
            generation=generation,
            commit="0" * 40,
            poll_interval="30s",
            cohorts=(OrderedCohort(name="all", selector=Selector()),),
            entries=tuple(entries),
            halted=halted,
            **declared,
        )
        self.put(document.target, canonical_json(document.model_dump(mode="json")))
        self.put("trust/signing-keys.json", canonical_json({"keys": [public_half(self.signing_key)]}))
        for built in artifacts:
            self.put(artifact_target(built.artifact), built.data)
            if not built.unsigned:
                signed = built.signed or {name: digest_of(data) for name, data in built.files.items()}
                self.put(signature_target(built.artifact), sign_files(signed, built.key or self.signing_key))
        self.sign(life)
        return document

    def put(self, path: str, data: bytes) -> None:
        self.targets[path] = TargetFile.from_data(path, data, ["sha256"])
        folder, _, name = path.rpartition("/")
        self.files[f"/tuf/targets/{folder}/{hashlib.sha256(data).hexdigest()}.{name}"] = data

    def sign(self, life: timedelta = timedelta(days=1)) -> None:
        self.version += 1
        long = START + timedelta(days=30)
        targets = Targets(version=self.version, expires=long, targets=dict(self.targets))
        snapshot = Snapshot(version=self.version, expires=long)
        snapshot.meta["targets.json"] = _meta(self.version, self._sign(targets, f"{self.version}.targets.json"))
        timestamp = Timestamp(version=self.version, expires=datetime.now(UTC) + life)
        timestamp.snapshot_meta = _meta(self.version, self._sign(snapshot, f"{self.version}.snapshot.json"))
        self._sign(timestamp, "timestamp.json")

    def _sign(self, signed: Root | Targets | Snapshot | Timestamp, name: str) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(self.signers[signed.type])
        self.files[f"/tuf/metadata/{name}"] = data = metadata.to_bytes()
        return data


def _meta(version: int, data: bytes) -> MetaFile:
    return MetaFile(version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})


@dataclass
class SimulatedServer:
    """Static files with Range and ETag, enrolment, and reports that are taken once each. Change it by assignment."""

    repository: Repository
    away: bool = False
    away_for: str | None = None
    """Requests whose path contains this get no answer."""
    cut_after: int | None = None
    """Bodies end after this many bytes, as if the line went dead."""
    cut_for: str = ".tar"
    """It does so for paths that end in this."""
    chunk: int = 256
    """Bytes that come at once."""
    ignores_range: bool = False
    has_etags: bool = True
    etag: str | None = None
    """What every file is tagged with; None: a tag of its own."""
    status: int | None = None
    """What every GET is answered with, and `retry_after`."""
    headers: list[Mapping[str, str]] = field(default_factory=list)
    reports_status: int = 200
    retry_after: str | None = None
    requests: list[tuple[str, str]] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    next_secrets: dict[str, str] = field(default_factory=dict)
    told: dict[str, object] = field(default_factory=dict)
    """What answers to reports tell besides."""
    enrol_dies_after_taking: bool = False
    secret_dies_after_taking: bool = False
    last_sequence: int = 0

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        self.requests.append(("GET", path))
        self.headers.append(dict(headers))
        if self.away or (self.away_for and self.away_for in path):
            raise server_away("the simulated server is away")
        if self.status:
            yield Answer(self.status, {"retry-after": self.retry_after} if self.retry_after else {}, iter([b"away"]))
            return
        data = self.repository.files.get(path)
        if data is None:
            yield Answer(404, {}, iter([b"not found"]))
            return
        etag = self.etag or f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        tags = {"etag": etag} if self.has_etags else {}
        if self.has_etags and headers.get("If-None-Match") == etag:
            yield Answer(304, tags, iter([]))
            return
        status, start = 200, 0
        is_same = headers.get("If-Range", etag) == etag
        if (wanted := headers.get("Range")) and is_same and not self.ignores_range:
            self.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            status, tags["content-range"] = 206, f"bytes {start}-{len(data) - 1}/{len(data)}"
        yield Answer(status, tags, self._chunks(data[start:], path))

    def _chunks(self, data: bytes, path: str) -> Iterator[bytes]:
        sent = 0
        for place in range(0, len(data), self.chunk):
            if self.cut_after is not None and path.endswith(self.cut_for) and sent >= self.cut_after:
                raise server_away("the simulated line went dead")
            yield data[place : place + self.chunk]
            sent += self.chunk

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self.requests.append(("POST", path))
        if self.away:
            raise server_away("the simulated server is away")
        value = json.loads(body)
        if path == "/v1/secret":
            return self._announce(value, headers)
        return self._enrol(value) if path == "/v1/enrol" else self._take(value, headers)

    def _announce(self, value: dict[str, str], headers: Mapping[str, str]) -> Answer:
        if (device_id := self._caller(headers)) is None:
            return _json(401, {"error": "unknown"})
        self.next_secrets[device_id] = value["secret"]
        if self.secret_dies_after_taking:
            raise server_away("the answer was lost")
        return _json(200, {"device_id": device_id})

    def _caller(self, headers: Mapping[str, str]) -> str | None:
        """Whose secret it is; the first use of a new one ends the old."""
        device_id, _, secret = headers["Authorization"].removeprefix("Bearer ").rpartition(":")
        if self.next_secrets.get(device_id) == secret:
            self.secrets[device_id] = self.next_secrets.pop(device_id)
        return device_id if self.secrets.get(device_id) == secret else None

    def _enrol(self, value: dict[str, object]) -> Answer:
        if value["token"] != TOKEN:
            return _json(401, {"error": "the enrolment token is not valid"})
        secret = self.secrets.setdefault(str(value["device_id"]), str(value["secret"]))
        if self.enrol_dies_after_taking:
            raise server_away("the answer was lost")
        return _json(201 if secret == value["secret"] else 409, {"error": "enrolled already, with another secret"})

    def _take(self, values: list[object], headers: Mapping[str, str]) -> Answer:
        if self.reports_status != 200:
            extra = {"retry-after": self.retry_after} if self.retry_after else {}
            return Answer(self.reports_status, extra, iter([b"{}"]))
        if self._caller(headers) is None:
            return _json(401, {"error": "unknown"})
        reports = [Report.model_validate_json(json.dumps(value)) for value in values]
        new = [report for report in reports if report.sequence > self.last_sequence]
        self.batches.append(len(reports))
        self.reports += new
        self.last_sequence = max([self.last_sequence, *(report.sequence for report in new)])
        return _json(200, {"accepted": len(reports), "new": len(new), "last_sequence": self.last_sequence, **self.told})


def _json(status: int, value: object) -> Answer:
    return Answer(status, {}, iter([json.dumps(value).encode()]))


@dataclass
class Bench:
    """One enrolled device and its server; `elapse` moves its clocks."""

    path: Path
    repository: Repository = field(default_factory=Repository)
    runtime: Runtime = field(default_factory=OnnxRuntime)
    frames: np.ndarray | None = None
    frames_per_tick: int = 0
    seconds: float = 0.0
    free_bytes: int = 2**40
    first_load: Callable[[Path, Slot], None] = lambda _place, _slot: None
    mirrors: Mapping[str, SimulatedServer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = SimulatedServer(self.repository)
        self.folder = DeviceFolder(self.path / "device")
        root = self.path / "root.json"
        root.write_bytes(self.repository.root)
        identity = make_identity(
            device_id="device-1",
            device_class=CLASS_NAME,
            labels={"site": "north"},
            models=(MODEL_NAME,),
            server="http://127.0.0.1",
        )
        enrol(self.folder, self.server, identity, TOKEN, root)
        self.server.requests.clear()

    @property
    def now(self) -> Moment:
        return Moment(1_000 + self.seconds, datetime.now(UTC) + timedelta(seconds=self.seconds))

    def start(self) -> Agent:
        """Start the agent on the folder, as after a boot."""
        surroundings = Surroundings(
            self.server,
            self.runtime,
            self.mirrors,
            free_bytes=lambda _folder: self.free_bytes,
            thermal_state=lambda: "nominal",
            first_load=self.first_load,
        )
        self.agent = Agent(
            self.folder, surroundings, self.now, frames=self.frames, frames_per_tick=self.frames_per_tick
        )
        self.agent.start(self.now)
        return self.agent

    def tick(self, seconds: float = 1.0) -> Outcome:
        self.seconds += seconds
        return self.agent.tick(self.now)

    def confirm(self, *releases: Built, since: int = 1) -> None:
        """Publish releases one after the other, each confirmed by this device before the next."""
        for generation, built in enumerate(releases, since):
            self.repository.publish(generation, [built.entry(generation)], artifacts=(built,))
            self.tick()
            self.tick(WINDOW_SECONDS)
            assert self.state.confirmed is not None
            assert built.release == self.state.confirmed.entry.release

    @property
    def model(self):
        return self.agent.models[0]

    @property
    def state(self):
        return self.model.state

    @property
    def running(self) -> str | None:
        """Digest of the model that answers frames, as the worker has it."""
        loaded = self.model.worker.model
        return loaded.model_hash if loaded else None

    def story(self, release: Built) -> list[tuple[str | None, str | None]]:
        """Phases and codes that the server heard about a release, without repetitions."""
        told = [
            (report.phase, report.error_code) for report in self.server.reports if report.release == release.release
        ]
        return [event for place, event in enumerate(told) if place == 0 or told[place - 1] != event]


def hash_of(built: Built) -> str:
    return digest_of(built.files[MODEL])


def ppm(share: float) -> int:
    return math.floor(share * 1_000_000)

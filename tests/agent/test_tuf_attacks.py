"""Every attack of `tuf_attack_list`, by somebody who owns the mirror, on the real agent and the real publisher's files.

Each must be reported under its code, leave what runs running, and leave nothing behind: once the mirror is honest
again, the device takes what is really published.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import onnx
import pytest
from agent_simulator import CLASS_NAME, MODEL_NAME, WINDOW_SECONDS, Bench, Built, SimulatedServer, build, hash_of
from published_bench import Controller, beside
from tuf.api.metadata import Metadata, MetaFile, TargetFile, Targets
from tuf_attack_list import ATTACKS

from muster.agent.http_server import HttpServer
from muster.agent.server import Answer
from muster.apply.key_rotation import Wish, rotate_keys
from muster.apply.tuf_keys import TufKeys
from muster.artifacts.bundle import MODEL as MODEL_FILE
from muster.attest.keys import new_private_key, public_half
from muster.attest.model_signature import sign_files
from muster.kinds.canonical import canonical_json
from muster.kinds.cohort import Selector
from muster.kinds.desired import DesiredDocument, OrderedCohort, artifact_target, desired_target, signature_target
from muster.kinds.digest import digest_of, hex_of

OLD = build("0.9.0", sharpness=7)
FIRST, SECOND, THIRD = build("1.0.0"), build("1.1.0", sharpness=9), build("1.2.0", sharpness=10)
EVIL = build("9.9.9", sharpness=11)
LAST_GENERATION = 2**53 - 1
PATIENCE = 10
"""Bytes beyond what is announced that an agent may draw before it stops, in parts of what the server sends at once."""


@dataclass
class Mirror(SimulatedServer):
    """What stands between the controller and the device: honest but for what it is told by assignment."""

    lies: dict[str, bytes] = field(default_factory=dict)
    """Other bytes, by path."""
    endless: str | None = None
    elsewhere: HttpServer | None = None
    drawn: int = 0

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        if self.elsewhere is not None:
            with self.elsewhere.get(path, headers) as answer:
                yield answer
        elif self.endless and path.endswith(self.endless):
            yield Answer(200, {}, self._for_ever())
        elif path in self.lies:
            yield Answer(200, {}, iter([self.lies[path]]))
        else:
            with super().get(path, headers) as answer:
                yield answer

    def _for_ever(self) -> Iterator[bytes]:
        while True:
            self.drawn += 1
            yield bytes(65_536)


class Scene:
    """The device confirmed 1.1.0 at generation 2; generation 3, with 1.2.0, is published and not yet seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.controller = Controller(folder)
        (folder / "bench").mkdir()
        self.bench = Bench(folder / "bench")
        self.mirror = self.bench.server = Mirror(self.bench.repository, secrets=self.bench.server.secrets)
        beside(self.controller, folder, self.bench)
        self.now = self.bench.now.wall
        self.past: dict[int, dict[str, bytes]] = {}
        for generation, built in enumerate((FIRST, SECOND), 1):
            self.publish(generation, built)
            self.bench.tick()
            self.bench.tick(WINDOW_SECONDS)
            assert hash_of(built) == self.bench.running
        self.publish(3, THIRD)

    @property
    def metadata(self) -> Path:
        return self.folder / "public" / "metadata"

    def publish(self, generation: int, built: Built) -> None:
        self.controller.publish(generation, [built], self.now)
        self.past[generation] = {f"/tuf/metadata/{path.name}": path.read_bytes() for path in self.metadata.iterdir()}

    def lie(self, name: str, data: bytes) -> None:
        """Give other bytes for a published file, named as below the server's root."""
        self.mirror.lies[f"/tuf/{name}"] = data

    def lie_about(self, target: str, data: bytes) -> None:
        """Give other bytes for a target of generation 3, at the place that its real digest names."""
        self.lie(f"targets/{self._place(target, self.targets.targets[target].hashes['sha256'])}", data)

    @property
    def targets(self) -> Targets:
        return Metadata[Targets].from_bytes((self.metadata / "3.targets.json").read_bytes()).signed

    def thief(self) -> Thief:
        return Thief(self, TufKeys.load(self.folder / "keys"))

    @staticmethod
    def _place(target: str, sha256: str) -> str:
        folder, _, name = target.rpartition("/")
        return f"{folder}/{sha256}.{name}"


class Thief:
    """Signs with keys that it holds, and shows what it signed by the mirror; `generation`: what it builds upon."""

    generation = 3

    def __init__(self, scene: Scene, keys: TufKeys) -> None:
        self._scene = scene
        self._keys = keys
        self._contents: dict[str, bytes] = {}

    def put(self, target: str, data: bytes) -> None:
        """A target of its own in the place of the published one."""
        self._contents[target] = data

    def show(self, version: int = 4) -> None:
        """Targets, snapshot and timestamp, each signed with the key of its role."""
        signed = self._scene.targets
        signed.version = version
        for target, data in self._contents.items():
            signed.targets[target] = TargetFile.from_data(target, data, ["sha256"])
            sha256 = hashlib.sha256(data).hexdigest()
            self._scene.lie(f"targets/{Scene._place(target, sha256)}", data)
        self.name(self.sign("3.targets.json", f"{version}.targets.json", version=version, targets=signed.targets))

    def name(self, targets: MetaFile, version: int = 40) -> None:
        """A new snapshot and timestamp that name these targets."""
        known = [path.rpartition("/")[2].split(".") for path in self._scene.past[self.generation]]
        number = max(int(parts[0]) for parts in known if parts[1] == "snapshot")
        snapshot = self.sign(
            f"{number}.snapshot.json", f"{version}.snapshot.json", version=version, meta={"targets.json": targets}
        )
        self.sign("timestamp.json", "timestamp.json", version=version, snapshot_meta=snapshot)

    def sign(self, source: str, name: str, **changes: object) -> MetaFile:
        """Change a published file, sign it, and show it."""
        metadata = Metadata.from_bytes(self._scene.past[self.generation][f"/tuf/metadata/{source}"])
        for name_of, value in changes.items():
            setattr(metadata.signed, name_of, value)
        metadata.sign(self._keys.signer(metadata.signed.type))
        data = metadata.to_bytes()
        self._scene.lie(f"metadata/{name}", data)
        return MetaFile(metadata.signed.version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})

    def declare(self, *built: Built, device_class: str = CLASS_NAME, generation: int = 4, **changes: object) -> None:
        """A desired document that offers these, with their artifacts and signatures."""
        entries = (one.entry(generation).model_copy(update=changes) for one in built)
        document = document_of(generation, *entries, device_class=device_class)
        self.put(desired_target(MODEL_NAME, CLASS_NAME), canonical_json(document.model_dump(mode="json")))
        for one in built:
            self.put(artifact_target(one.artifact), one.data)
            signed = one.signed or {name: digest_of(data) for name, data in one.files.items()}
            self.put(signature_target(one.artifact), sign_files(signed, one.key or self._scene.controller._key))


def document_of(generation: int, *entries: object, device_class: str = CLASS_NAME) -> DesiredDocument:
    return DesiredDocument(
        model=MODEL_NAME,
        device_class=device_class,
        generation=generation,
        commit="0" * 40,
        poll_interval="30s",
        cohorts=(OrderedCohort(name="all", selector=Selector()),),
        entries=entries,
    )


TRIES: dict[str, Callable[[Scene], None]] = {}


def attempt(name: str) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    def keep(function: Callable[[Scene], None]) -> Callable[[Scene], None]:
        TRIES[name] = function
        return function

    return keep


@attempt("arbitrary-artifact")
def _(scene: Scene) -> None:
    scene.lie_about(artifact_target(THIRD.artifact), EVIL.data)


@attempt("arbitrary-metadata")
def _(scene: Scene) -> None:
    thief = Thief(scene, TufKeys.create(scene.folder / "own-keys"))
    thief.declare(EVIL)
    thief.show()


@attempt("endless-timestamp")
def _(scene: Scene) -> None:
    scene.mirror.endless = "timestamp.json"


@attempt("endless-artifact")
def _(scene: Scene) -> None:
    scene.mirror.endless = ".tar"


@attempt("extraneous-entry")
def _(scene: Scene) -> None:
    wrong = document_of(3, EVIL.entry(3), THIRD.entry(3))
    scene.lie_about(desired_target(MODEL_NAME, CLASS_NAME), canonical_json(wrong.model_dump(mode="json")))


@attempt("extraneous-file")
def _(scene: Scene) -> None:
    packed = io.BytesIO(THIRD.data)
    with tarfile.open(fileobj=packed, mode="a", format=tarfile.USTAR_FORMAT) as tar:
        more = tarfile.TarInfo("autostart.sh")
        more.size = 4
        tar.addfile(more, io.BytesIO(b"evil"))
    thief = scene.thief()
    thief.declare(replace(THIRD, tar=packed.getvalue()))
    thief.show()


@attempt("fast-forward")
def _(scene: Scene) -> None:
    thief = Thief(scene, TufKeys.create(scene.folder / "own-keys"))
    thief.sign("timestamp.json", "timestamp.json", version=2**31)


@attempt("fast-forward-stolen")
def _(scene: Scene) -> None:
    thief = scene.thief()
    thief.generation = 2
    thief.sign("timestamp.json", "timestamp.json", version=2**31)
    assert scene.bench.tick().problem is None
    scene.mirror.lies.clear()


@attempt("fast-forward-generation")
def _(scene: Scene) -> None:
    thief = scene.thief()
    thief.declare(SECOND, generation=LAST_GENERATION)
    thief.show()
    scene.bench.tick()
    assert scene.bench.state.generation == LAST_GENERATION
    scene.mirror.lies.clear()


@attempt("freeze")
def _(scene: Scene) -> None:
    scene.mirror.lies = dict(scene.past[2])
    scene.bench.tick(25 * 3_600)


@attempt("mirror-away")
def _(scene: Scene) -> None:
    scene.bench.repository.files = {}


@attempt("mirror-garbage")
def _(scene: Scene) -> None:
    for path in (*scene.past[3], "/tuf/metadata/2.root.json"):
        scene.mirror.lies[path] = hashlib.shake_256(path.encode()).digest(900)


@attempt("mirror-redirect")
def _(scene: Scene) -> None:
    assert scene.mirror.elsewhere is not None, "served over a socket"


@attempt("mix-and-match-snapshot")
def _(scene: Scene) -> None:
    scene.lie("metadata/3.snapshot.json", scene.past[2]["/tuf/metadata/2.snapshot.json"])


@attempt("mix-and-match-targets")
def _(scene: Scene) -> None:
    scene.lie("metadata/3.targets.json", scene.past[2]["/tuf/metadata/2.targets.json"])


@attempt("rollback")
def _(scene: Scene) -> None:
    scene.mirror.lies = dict(scene.past[1])


@attempt("rollback-stolen")
def _(scene: Scene) -> None:
    old = scene.past[1]["/tuf/metadata/1.targets.json"]
    scene.thief().name(MetaFile(1, len(old), {"sha256": hashlib.sha256(old).hexdigest()}))


@attempt("slow-retrieval")
def _(scene: Scene) -> None:
    assert scene.mirror.elsewhere is not None, "served over a socket"


@attempt("key-compromise-online")
def _(scene: Scene) -> None:
    own = TufKeys.create(scene.folder / "own-keys")
    stolen = TufKeys.load(scene.folder / "keys")
    thief = Thief(scene, TufKeys({**stolen.signers, "targets": own.signer("targets")}))
    thief.declare(EVIL)
    thief.show()


@attempt("key-compromise-rotated")
def _(scene: Scene) -> None:
    thief = scene.thief()
    rotate_keys(scene.folder, Wish(("targets", "snapshot", "timestamp")), scene.now)
    own = new_private_key()
    thief.put("trust/signing-keys.json", canonical_json({"keys": [public_half(own)]}))
    thief.declare(replace(EVIL, key=own))
    thief.show()


@attempt("other-class")
def _(scene: Scene) -> None:
    target = desired_target(MODEL_NAME, CLASS_NAME)
    own = document_of(3, THIRD.entry(3))
    other = own.model_copy(update={"device_class": "meter-b"})
    assert len(canonical_json(own.model_dump(mode="json"))) == scene.targets.targets[target].length
    scene.lie_about(target, canonical_json(other.model_dump(mode="json")))


@attempt("other-class-signed")
def _(scene: Scene) -> None:
    thief = scene.thief()
    thief.declare(THIRD, device_class="meter-b")
    thief.show()


@attempt("other-provider")
def _(scene: Scene) -> None:
    thief = scene.thief()
    thief.declare(replace(EVIL, provider="CUDAExecutionProvider"))
    thief.show()


@attempt("other-runtime")
def _(scene: Scene) -> None:
    model = onnx.load_from_string(THIRD.files[MODEL_FILE])
    model.opset_import[0].version = 900
    thief = scene.thief()
    thief.declare(build("9.9.9", model=model.SerializeToString()))
    thief.show()


@attempt("old-under-new")
def _(scene: Scene) -> None:
    thief = scene.thief()
    thief.declare(OLD, release=f"{MODEL_NAME}/9.9.9", version="9.9.9")
    thief.show()


@attempt("old-artifact-new-document")
def _(scene: Scene) -> None:
    scene.lie_about(artifact_target(THIRD.artifact), FIRST.data)


class _Hostile(BaseHTTPRequestHandler):
    """`/tuf/…` over a socket: a redirect, or a byte now and then until the other side has gone."""

    way = "slow-retrieval"
    stop = threading.Event()

    def do_GET(self) -> None:
        redirects = self.way == "mirror-redirect"
        self.send_response(302 if redirects else 200)
        self.send_header(*(("Location", "http://127.0.0.1:1/") if redirects else ("Content-Length", "9000")))
        self.end_headers()
        try:
            while not redirects and not self.stop.wait(0.02):
                self.wfile.write(b" ")
                self.wfile.flush()
        except OSError:
            self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def _socket(way: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    monkeypatch.setattr("muster.agent.http_server._TOTAL_SECONDS", 0.2)
    stop = threading.Event()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Hostile,), {"way": way, "stop": stop}))
    thread = threading.Thread(target=lambda: http.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield HttpServer(f"http://127.0.0.1:{http.server_port}")
    finally:
        stop.set()
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported under its code; what ran runs on, after a restart as well; then the device goes on."""
    attack, honest = ATTACKS[name], scene.bench.repository.files
    with _socket(name, monkeypatch) as hostile:
        scene.mirror.elsewhere = hostile if name in ("slow-retrieval", "mirror-redirect") else None
        TRIES[name](scene)
        heard = len(scene.bench.server.reports)
        problem = scene.bench.tick().problem
        told = {report.error_code for report in scene.bench.server.reports[heard:]}
        assert attack.code in told
        assert problem in (attack.code, "quarantined")
        assert scene.bench.running == hash_of(SECOND)
        scene.bench.start()
        assert scene.bench.running == hash_of(SECOND)
    assert scene.mirror.drawn <= PATIENCE
    own = {hex_of(built.artifact) for built in (FIRST, SECOND, THIRD)}
    if "every key" not in attack.holds:
        assert {path.name for path in scene.bench.folder.slots.iterdir()} <= own
    scene.bench.repository.files, scene.mirror.elsewhere, scene.mirror.endless = honest, None, None
    scene.mirror.lies.clear()
    _the_owner_acts(name, scene)
    scene.bench.tick()
    assert scene.bench.running == hash_of(THIRD)


def _the_owner_acts(name: str, scene: Scene) -> None:
    """What was signed with stolen keys is taken back by the owner: new keys, and a generation above the thief's."""
    attack = ATTACKS[name]
    if "key" in attack.holds and "own" not in attack.holds and name != "key-compromise-rotated":
        rotate_keys(scene.folder, Wish(("targets", "snapshot", "timestamp")), scene.now)
    if attack.holds:
        scene.controller.restart()
        scene.publish(6, THIRD)
    elif name == "freeze":
        assert scene.controller.publisher.refresh(scene.bench.now.wall)


def test_every_attack_is_tried() -> None:
    """The list that the page shows is the list that is tried; TUF's ten are all there."""
    assert TRIES.keys() == ATTACKS.keys()
    ten = {
        "arbitrary installation", "endless data", "extraneous dependencies", "fast-forward", "indefinite freeze",
        "malicious mirrors", "mix-and-match", "rollback", "slow retrieval", "vulnerability to key compromises",
    }  # fmt: skip
    assert ten == {attack.name for attack in ATTACKS.values() if attack.source == "TUF"}
    assert {"mixed bundles"} == {attack.name for attack in ATTACKS.values() if attack.source == "Uptane"}

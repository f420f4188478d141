"""Every attack of `tuf_attack_list`, by somebody who owns the mirror, on the real agent and the real publisher's files.

Each must be reported under its code, leave what runs running, and leave nothing behind: once the mirror is honest
again, the device takes what is really published.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import onnx
import pytest
from agent_simulator import CLASS_NAME, MODEL_NAME, build, hash_of
from attack_scene import FIRST, SECOND, THIRD, Scene, Thief, document_of
from tuf.api.metadata import MetaFile
from tuf_attack_list import ATTACKS

from muster.agent.connections import Limits, make_pool
from muster.agent.http_server import HttpServer
from muster.apply.key_rotation import Wish, rotate_keys
from muster.apply.tuf_keys import TufKeys
from muster.artifacts.bundle import MODEL as MODEL_FILE
from muster.attest.keys import new_private_key, public_half
from muster.kinds.canonical import canonical_json
from muster.kinds.desired import artifact_target, desired_target
from muster.kinds.digest import hex_of

OLD = build("0.9.0", sharpness=7)
EVIL = build("9.9.9", sharpness=11)
LAST_GENERATION = 2**53 - 1
PATIENCE = 10
"""Bytes beyond what is announced that an agent may draw before it stops, in parts of what the server sends at once."""


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
def _socket(way: str) -> Iterator[HttpServer]:
    stop = threading.Event()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Hostile,), {"way": way, "stop": stop}))
    thread = threading.Thread(target=lambda: http.serve_forever(0.02), daemon=True)
    thread.start()
    try:
        yield HttpServer(f"http://127.0.0.1:{http.server_port}", make_pool(Limits(whole=0.2)))
    finally:
        stop.set()
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, scene: Scene) -> None:
    """It is reported under its code; what ran runs on, after a restart as well; then the device goes on."""
    attack, honest = ATTACKS[name], scene.bench.repository.files
    with _socket(name) as hostile:
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

"""A device, the real publisher's files, a mirror between the two that lies as it is told, and a thief of keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent_simulator import CLASS_NAME, MODEL_NAME, WINDOW_SECONDS, Bench, Built, SimulatedServer, build, hash_of
from published_bench import Controller, beside
from tuf.api.metadata import Metadata, MetaFile, TargetFile, Targets

from muster.agent.http_server import HttpServer
from muster.agent.server import Answer
from muster.apply.tuf_keys import TufKeys
from muster.attest.model_signature import sign_files
from muster.kinds.canonical import canonical_json
from muster.kinds.cohort import Selector
from muster.kinds.desired import DesiredDocument, OrderedCohort, artifact_target, desired_target, signature_target
from muster.kinds.digest import digest_of

FIRST, SECOND, THIRD = build("1.0.0"), build("1.1.0", sharpness=9), build("1.2.0", sharpness=10)


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

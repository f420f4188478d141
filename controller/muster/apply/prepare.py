"""Preparing a release: rebuild its artifact from the pins, compare, sign.

The rebuild runs in the sandbox (`build/sandbox`), in a folder of its own with copies of what the release pins: it sees
neither the state folder nor its keys. What it leaves is taken into the store by the pinned digests alone. The signature
file is written last and atomically: it is the record that the release is prepared.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from muster.artifacts.bundle import read_bundle
from muster.artifacts.durable import write_durably
from muster.artifacts.store import DamagedObject, MissingObject, Store
from muster.attest.keys import key_id, public_half
from muster.attest.model_signature import sign_files
from muster.build.environment import check_lock
from muster.build.sandbox.confinement import Confinement, Level, Limits, Outcome
from muster.build.sandbox.run import Running, strongest
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.errors import Refused, TryAgain
from muster.kinds.release import Release

BUILD_LIMITS = Limits(memory=4 * 2**30, processor_seconds=900, wall_seconds=900, file_size=2**30)
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Libraries would start one for each processor, which counts against the limits and changes nothing."""
_VERIFY = ("--verify", "--environment", "lock", "--sandbox", "limits", "-o", "json")
"""Once more in a sandbox would hold nothing more: what it starts is held by the one that it is in."""
_BY_HAND = "try it by hand: muster build RELEASE --verify"


class Prepared:
    """Releases whose artifact is in the store, rebuilt and signed with one key; another key signs anew.

    A record is a signature file under the digest of the release's pins: it proves nothing for another release that
    names the same artifact.
    """

    def __init__(self, store: Store, folder: Path, private_key_pem: bytes) -> None:
        self._store = store
        self._private_key = private_key_pem
        self._folder = folder / hex_of(key_id(public_half(private_key_pem)))

    def pins(self) -> frozenset[str]:
        """Digests of the pins of every release that is prepared."""
        if not self._folder.is_dir():
            return frozenset()
        records = (path.stem.partition(".") for path in self._folder.glob("*.*.sig"))
        return frozenset(f"sha256:{pins}" for artifact, _, pins in records if self._store.has(f"sha256:{artifact}"))

    def signature(self, release: Release) -> bytes:
        """The signature over the artifact's files."""
        return self._path(release).read_bytes()

    def sign(self, release: Release) -> None:
        """Sign the release's artifact, which the store holds."""
        files = read_bundle(self._store.get(release.spec.artifact.digest))
        signature = sign_files({name: digest_of(content) for name, content in files.items()}, self._private_key)
        write_durably(self._path(release), signature)

    def forget(self, release: Release) -> None:
        """The artifact is damaged or gone: it is to be built again."""
        self._path(release).unlink(missing_ok=True)

    def _path(self, release: Release) -> Path:
        return self._folder / f"{hex_of(release.spec.artifact.digest)}.{hex_of(release.pins)}.sig"


class Rebuilder:
    """Rebuilds artifacts into the store of a state folder, one at a time, each in a sandbox of its own.

    `lowest` is the weakest level of the sandbox that is accepted.
    """

    def __init__(self, state: Path, lowest: Level = Level.LANDLOCK) -> None:
        self._state = state
        self._lowest = lowest
        self._store = Store(state / "store")
        self._running: Running | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def rebuild(self, release: Release, declared: bytes, lock: bytes) -> None:
        """Rebuild an artifact and compare it with the pins. `declared` is the release file, `lock` its builder's.

        Raises `Refused` if it differs from the pins, or if this machine has no sandbox that is accepted; `TryAgain` if
        it could not be built this time.
        """
        level = strongest(self._lowest)
        with tempfile.TemporaryDirectory(prefix="prepare-", dir=self._state) as name:
            folder = Path(name)
            path = folder / "releases" / release.model / f"{release.version}.yaml"
            path.parent.mkdir(parents=True)
            path.write_bytes(declared)
            lock_path = folder / release.spec.builder.lock
            lock_path.parent.mkdir(parents=True)
            lock_path.write_bytes(lock)
            own = folder / "state"
            self._lend(release, own / "store")
            readable = self._lend_environment(release, lock, own / "builders")
            command = [sys.executable, "-m", "muster", "build", str(path), *_VERIFY, "--state", str(own)]
            outcome = self._run(command, Confinement(folder, readable, BUILD_LIMITS, level, _ONE_THREAD))
            _judge(outcome, hidden=str(own), shown=str(self._state))
            self._take(release, Store(own / "store"))

    def stop(self) -> None:
        """End the build that runs, and start no other."""
        with self._lock:
            self._stopped = True
            if self._running:
                self._running.stop()

    def _run(self, command: Sequence[str], confinement: Confinement) -> Outcome:
        with self._lock:
            if self._stopped:
                raise TryAgain("the controller is stopping", "the build starts again with it")
            self._running = Running(command, confinement)
        return self._running.wait()

    def _lend(self, release: Release, own: Path) -> None:
        """Copy the inputs. Those that are missing are the build's to complain about."""
        for digest in _inputs(release):
            try:
                source = self._store.path(digest)
            except MissingObject:
                continue
            except DamagedObject as error:
                # That an input is damaged says nothing about the release.
                raise TryAgain(error.message, error.hint) from error
            target = own / source.relative_to(self._store.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def _lend_environment(self, release: Release, lock: bytes, own: Path) -> tuple[Path, ...]:
        """Make the lock's environment out here, where there is a network; what the build has to read of it."""
        from muster.build.hermetic.environment import environment_for
        from muster.build.hermetic.lock import read_lock

        check_lock(release.spec.builder, lock)
        wheels = self._state / "wheelhouse"
        read = read_lock(lock, release.spec.builder.lock)
        found = environment_for(read, self._state / "builders", wheels if wheels.is_dir() else None)
        own.mkdir(parents=True)
        (own / found.folder.name).symlink_to(found.folder)
        return found.folder, found.python.resolve().parent.parent

    def _take(self, release: Release, own: Store) -> None:
        """Bring what was built into the store. The bytes are judged by their digests, whoever wrote them."""
        for digest in _results(release):
            if self._store.has(digest) and digest != release.spec.artifact.digest:
                continue
            try:
                self._store.put(own.get(digest))
            except (MissingObject, DamagedObject) as error:
                if digest == release.spec.artifact.digest:
                    raise Refused(
                        f"the build of {release.name} said that it succeeded, and left no artifact {digest}",
                        "look at what the source model does when it is loaded",
                    ) from error


def _inputs(release: Release) -> tuple[str, ...]:
    """What a build reads from the store."""
    spec = release.spec
    snapshots = spec.snapshots
    inputs = (spec.source.digest, snapshots.calibration, snapshots.evaluation, snapshots.golden.inputs)
    return (*dict.fromkeys(inputs), spec.calibration_table)


def _results(release: Release) -> tuple[str, ...]:
    """What a build leaves in the store, as pinned; the artifact last."""
    spec, stages = release.spec, release.spec.stages
    kept = (stages.imported, stages.preprocessed, stages.calibrated, spec.calibration_table, stages.quantized)
    return (*kept, spec.snapshots.golden.expected, spec.artifact.digest)


def _judge(outcome: Outcome, hidden: str, shown: str) -> None:
    """Raises unless the build succeeded. Paths of its folder are told as those that they stand for."""
    if outcome.succeeded:
        return
    hint = _BY_HAND
    if outcome.ended_by == "stopped":
        raise TryAgain("the controller is stopping", "the build starts again with it")
    if outcome.ended_by:
        raise Refused(
            f"the build {outcome.explain()}", "use fewer calibration samples, or a model that keeps to itself"
        )
    complaint = outcome.stderr.decode(errors="replace").strip()[-2_000:]
    reason = _reason(outcome.stdout) or complaint or f"the build {outcome.explain()}"
    tried = "".join(f"; in the sandbox it tried {attempt}" for attempt in outcome.attempts)
    raise (Refused if outcome.code == 1 else TryAgain)(reason.replace(hidden, shown) + tried, hint)


def _reason(output: bytes) -> str | None:
    try:
        report = json.loads(output)
    except (ValueError, RecursionError):
        return None
    reason = report.get("reason") if isinstance(report, dict) else None
    return reason if isinstance(reason, str) else None

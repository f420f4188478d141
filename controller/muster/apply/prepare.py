"""Preparing a release: rebuild its artifact from the pins, compare, sign.

The rebuild runs in a process of its own with a wall clock, limits on memory, processor time and file size, and a
scrubbed environment, so that a hostile model cannot take the loop down. It is no sandbox: the process can read what
its user can. The signature file is written last and atomically: it is the record that the release is prepared.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from muster.artifacts.bundle import read_bundle
from muster.artifacts.durable import write_durably
from muster.artifacts.store import Store
from muster.attest.keys import key_id, public_half
from muster.attest.model_signature import sign_files
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.errors import Refused, TryAgain
from muster.kinds.release import Release

BUILD_SECONDS = 900
BUILD_MEMORY = 4 * 2**30
"""Bytes of address space; threads and arenas count as well."""
BUILD_FILE = 2**30
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")


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
    """Rebuilds artifacts into the store of a state folder, one at a time, each in a process of its own."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._child: subprocess.Popen[str] | None = None
        self._stopped = False

    def rebuild(self, release: Release, declared: bytes, lock: bytes) -> None:
        """Rebuild an artifact and compare it with the pins. `declared` is the release file, `lock` its builder's.

        Raises `Refused` if it differs from the pins, `TryAgain` if it could not be built this time.
        """
        with tempfile.TemporaryDirectory(prefix="prepare-", dir=self._state) as folder:
            path = Path(folder, "releases", release.model, f"{release.version}.yaml")
            path.parent.mkdir(parents=True)
            path.write_bytes(declared)
            lock_path = Path(folder, release.spec.builder.lock)
            lock_path.parent.mkdir(parents=True)
            lock_path.write_bytes(lock)
            command = [sys.executable, "-m", "muster", "build", str(path), "--verify", "-o", "json"]
            self._run([*command, "--state", str(self._state)], Path(folder))

    def stop(self) -> None:
        """End the build that runs, and start no other."""
        self._stopped = True
        if self._child:
            self._child.kill()

    def _run(self, command: Sequence[str], folder: Path) -> None:
        if self._stopped:
            raise TryAgain("the controller is stopping", "the build starts again with it")
        with subprocess.Popen(  # noqa: S603 - our own program, arguments are no shell
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            self._child = child
            _limit(child.pid)
            try:
                output, complaint = child.communicate(timeout=BUILD_SECONDS)
            except subprocess.TimeoutExpired as error:
                child.kill()
                raise Refused(
                    f"the build took longer than {BUILD_SECONDS} s and was stopped", "use fewer calibration samples"
                ) from error
        if child.returncode == 0:
            return
        reason = _reason(output) or complaint.strip()[-2_000:] or f"the build ended with {child.returncode}"
        raise (Refused if child.returncode == 1 else TryAgain)(reason, "try it by hand: muster build RELEASE --verify")


def _environment(folder: Path) -> dict[str, str]:
    """What a build may know: where programs are, and a home of its own."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _limit(pid: int) -> None:
    """Bound a process that has just been started, before it has read anything."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_AS, (BUILD_MEMORY, BUILD_MEMORY))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (BUILD_FILE, BUILD_FILE))
        resource.prlimit(pid, resource.RLIMIT_CPU, (BUILD_SECONDS, BUILD_SECONDS))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


def _reason(output: str) -> str | None:
    try:
        report = json.loads(output)
    except ValueError:
        return None
    reason = report.get("reason") if isinstance(report, dict) else None
    return reason if isinstance(reason, str) else None

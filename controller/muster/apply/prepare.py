"""Preparing a release: rebuild its artifact from the pins, compare, sign.

The rebuild runs in a process of its own, with a wall clock, so that a hostile model can stop neither the loop nor
its memory. The signature file is written last and atomically: it is the record that the artifact is prepared.
"""

from __future__ import annotations

import json
import os
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
from muster.kinds.errors import MusterError, Refused, TryAgain
from muster.kinds.release import Release

BUILD_SECONDS = 900


class Prepared:
    """Artifacts in the store that are signed with one key; another key has another folder, and signs anew."""

    def __init__(self, store: Store, folder: Path, private_key_pem: bytes) -> None:
        self._store = store
        self._private_key = private_key_pem
        self._folder = folder / hex_of(key_id(public_half(private_key_pem)))

    def digests(self) -> frozenset[str]:
        """Every artifact that is signed and present."""
        if not self._folder.is_dir():
            return frozenset()
        found = (f"sha256:{path.stem}" for path in self._folder.glob("*.sig") if len(path.stem) == 64)
        return frozenset(digest for digest in found if self._store.has(digest))

    def signature(self, digest: str) -> bytes:
        """The signature over an artifact's files."""
        return self._path(digest).read_bytes()

    def sign(self, digest: str) -> None:
        """Sign an artifact that the store holds."""
        files = read_bundle(self._store.get(digest))
        signature = sign_files({name: digest_of(content) for name, content in files.items()}, self._private_key)
        write_durably(self._path(digest), signature)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{hex_of(digest)}.sig"


def rebuild(release: Release, release_file: bytes, lock: bytes, state: Path) -> None:
    """Rebuild an artifact into the store and compare it with the pins.

    Raises `Refused` if it differs from the pins, `TryAgain` if it could not be built this time.
    """
    with tempfile.TemporaryDirectory(prefix="prepare-", dir=state) as folder:
        path = Path(folder, "releases", release.model, f"{release.version}.yaml")
        path.parent.mkdir(parents=True)
        path.write_bytes(release_file)
        lock_path = Path(folder, release.spec.builder.lock)
        lock_path.parent.mkdir(parents=True)
        lock_path.write_bytes(lock)
        command = [sys.executable, "-m", "muster", "build", str(path), "--verify", "-o", "json", "--state", str(state)]
        _run(command, Path(folder))


def _run(command: Sequence[str], folder: Path) -> None:
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - our own program, arguments are no shell
            command, cwd=folder, env=environment, capture_output=True, timeout=BUILD_SECONDS, check=False, text=True
        )
    except subprocess.TimeoutExpired as error:
        raise Refused(f"the build took longer than {BUILD_SECONDS} s and was stopped") from error
    if done.returncode == 0:
        return
    reason = _reason(done.stdout) or done.stderr.strip()[-2_000:] or f"the build ended with {done.returncode}"
    raise _error_for(done.returncode)(reason)


def _error_for(returncode: int) -> type[MusterError]:
    return Refused if returncode == 1 else TryAgain


def _reason(output: str) -> str | None:
    try:
        report = json.loads(output)
    except ValueError:
        return None
    reason = report.get("reason") if isinstance(report, dict) else None
    return reason if isinstance(reason, str) else None

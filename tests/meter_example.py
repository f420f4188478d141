"""The example's release 1.1.0 with a store that holds its source and snapshots, trained once per run of the tests."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path

from training.meter_reader.__main__ import fill

from muster.artifacts.store import Store
from muster.build.declarations import read_release
from muster.kinds.release import Release

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "builders/onnxruntime-1.31.lock").read_bytes()


@functools.cache
def _trained() -> tuple[tempfile.TemporaryDirectory[str], dict]:
    folder = tempfile.TemporaryDirectory(prefix="muster-example-")
    atexit.register(folder.cleanup)
    return folder, fill(Store(Path(folder.name)), ["1.0.0", "1.1.0", "1.2.0"])


def digests() -> dict:
    """What training printed: digests of models and snapshots."""
    return _trained()[1]


def filled_store(folder: Path) -> Store:
    """A fresh store with source models and snapshots, and nothing built."""
    pristine, store = Store(Path(_trained()[0].name)), Store(folder)
    found = digests()
    for entry in (*found["models"].values(), *found["snapshots"].values()):
        store.put(pristine.get(entry["digest"]))
    return store


def release(version: str = "1.1.0") -> Release:
    """A release of the example, as this repository declares it."""
    return read_release(ROOT, f"releases/meter-reader/{version}.yaml")


def changed(declared: Release, **spec: object) -> Release:
    """The release with other values in its spec, by field name."""
    return declared.model_copy(update={"spec": declared.spec.model_copy(update=spec)})

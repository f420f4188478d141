"""Captures for tests: what is declared, a device's folder that consented, and frames that are answered."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from muster.agent.capture.place import CapturePlace
from muster.agent.capture.taking import Sample, Taker
from muster.agent.capture.terms import write_terms
from muster.agent.folder import DeviceFolder
from muster.agent.identity import make_identity, write_identity
from muster.artifacts.disk import DISK, Disk
from muster.kinds.capture import Capture
from muster.kinds.desired import DesiredDocument, OrderedCohort
from muster.kinds.digest import digest_of
from muster.plan.world import Published

MODEL, CLASS, RELEASE = "meter-reader", "cam-day", "meter-reader/1.0.0"
HASH = digest_of(b"model")
PURPOSE = "better-reading"

SAMPLE: dict[str, object] = {
    "id": "0" * 32,
    "purpose": PURPOSE,
    "model": MODEL,
    "release": RELEASE,
    "modelHash": HASH,
    "deviceClass": CLASS,
    "because": "low-confidence",
    "label": "7",
    "confidence": 1,
    "takenOn": "2026-01-01",
    "dtype": "uint8",
    "shape": [64],
    "size": 64,
    "digest": digest_of(b"x" * 64),
}
"""A record, as a device sends it before its content, which is 64 times x."""


def terms(purpose: str = PURPOSE, **changes: object) -> Capture:
    """A purpose that takes every answer below 60 %, and what was corrected, whatever the device's conditions."""
    said: dict[str, object] = {
        "purpose": purpose,
        "model": MODEL,
        "statement": "Pictures of your meter that were hard to read help to read them better.",
        "confidence_below": "60%",
        "disagreement": True,
        "conditions": {"unmetered": False, "charging": False},
    }
    return Capture.model_validate(said | changes)


def published(*captures: Capture) -> Published:
    """What devices can fetch, as the server reads it."""
    document = DesiredDocument(
        model=MODEL,
        device_class=CLASS,
        generation=1,
        commit="0" * 40,
        poll_interval="30s",
        cohorts=(OrderedCohort(name="all", selector={}),),
        entries=(),
        capture=captures,
    )
    return Published(documents={(MODEL, CLASS): document})


def device(path: Path, *captures: Capture, device_id: str = "dev-1", disk: Disk = DISK) -> CapturePlace:
    """The folder of an enrolled device that knows what is declared. Nobody consented to anything yet."""
    folder = DeviceFolder(path, disk)
    path.mkdir(mode=0o700, exist_ok=True)
    identity = make_identity(
        device_id=device_id, device_class=CLASS, labels={}, models=(MODEL,), server="http://127.0.0.1"
    )
    write_identity(folder, identity)
    place = CapturePlace.of(folder)
    with place.held():
        write_terms(place, {MODEL: captures})
    return place


def sample(value: int = 1, confidence: float = 0.2, *, elements: int = 64, **changes: object) -> Sample:
    """A frame of `elements` bytes, and the answer to it."""
    frame = np.full(elements, value % 256, np.uint8)
    frame[:4] = np.frombuffer(value.to_bytes(4, "little"), np.uint8)
    said = {"model": MODEL, "release": RELEASE, "model_hash": HASH, "device_class": CLASS, "label": "7"}
    return Sample(**{**said, "frame": frame.reshape(8, -1), "confidence": confidence, **changes})


def now() -> datetime:
    return datetime.now(UTC)


def taken(place: CapturePlace, *samples: Sample, at: datetime | None = None) -> int:
    """Offer and write samples. How many were written."""
    taker = Taker(place, clock=lambda: at or now(), share=lambda _ppm: True)
    written = 0
    for one in samples:
        taker.offer(one)
        written += taker.write()
    return written

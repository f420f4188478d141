"""Which devices a percentage means, and what one device should run.

    u      = the first 8 bytes of sha256("cohort/v1|" + salt + "|" + device id), big endian
    bucket = (u * 1_000_000) >> 64
    in     ⇔ bucket < ppm

Integers only, so that any language gives the same answer (test vectors: tests/vectors/bucket.json). A share that grows
keeps its devices: 5 % ⊂ 25 % ⊂ 100 %. A device without an id is in no cohort.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from muster.kinds.desired import DesiredDocument, Entry, OrderedCohort

BUCKETS = 1_000_000


def bucket(salt: str, device_id: str) -> int:
    """The device's bucket, 0 to 999,999, among the devices of this salt."""
    first_bytes = hashlib.sha256(f"cohort/v1|{salt}|{device_id}".encode()).digest()[:8]
    return (int.from_bytes(first_bytes, "big") * BUCKETS) >> 64


def in_share(salt: str, device_id: str, ppm: int) -> bool:
    """True if the device is within the first `ppm` parts per million."""
    return bool(device_id) and bucket(salt, device_id) < ppm


def cohort_of(cohorts: Sequence[OrderedCohort], labels: Mapping[str, str]) -> str | None:
    """Name of the first cohort whose selector matches; cohorts divide the fleet, they do not overlap."""
    return next((cohort.name for cohort in cohorts if cohort.selector.matches(labels)), None)


def choose(document: DesiredDocument, device_id: str, labels: Mapping[str, str]) -> Entry | None:
    """The newest release on offer whose share of the device's cohort includes it. None: nothing is desired here."""
    cohort = cohort_of(document.cohorts, labels)
    if cohort is None:
        return None
    return next(
        (entry for entry in document.entries if in_share(entry.salt, device_id, entry.ppm.get(cohort, 0))), None
    )


def without(document: DesiredDocument, failed: Mapping[str, int]) -> DesiredDocument:
    """The document without what a device will not run, so that it takes the entry below instead.

    That is what was halted, and what is in `failed`: {artifact: generation up to which its entry does not count}.
    """
    halted = {halt.artifact for halt in document.halted}
    entries = tuple(
        entry for entry in document.entries if entry.artifact.digest not in halted and not has_failed(entry, failed)
    )
    return document.model_copy(update={"entries": entries})


def has_failed(entry: Entry, failed: Mapping[str, int]) -> bool:
    """True if the artifact failed here, and was not named again on purpose since."""
    return entry.since <= failed.get(entry.artifact.digest, 0)

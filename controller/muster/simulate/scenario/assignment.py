"""Cohort assignment over arrays: the arithmetic of `plan.assignment`, for all devices at once.

Held against the scalar functions in tests/simulate/test_simulated_assignment.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from muster.kinds.desired import DesiredDocument, Entry
from muster.plan.assignment import BUCKETS

_CHUNK = 200_000
NOTHING = 255


def device_id(number: int) -> str:
    """The id of a simulated device."""
    return f"simulated-{number:08}"


def buckets(salt: str, devices: int) -> npt.NDArray[np.uint32]:
    """The bucket of every device for one salt."""
    state = hashlib.sha256(f"cohort/v1|{salt}|".encode())
    found = np.empty(devices, np.uint32)
    for start in range(0, devices, _CHUNK):
        end = min(start + _CHUNK, devices)
        digests = b"".join([_first_bytes(state, number) for number in range(start, end)])
        found[start:end] = scaled(np.frombuffer(digests, ">u8").astype(np.uint64))
    return found


def _first_bytes(state: hashlib._Hash, number: int) -> bytes:
    one = state.copy()
    one.update(device_id(number).encode())
    return one.digest()[:8]


def scaled(u: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """`(u * BUCKETS) >> 64` without 128-bit numbers: the halves of u are multiplied one by one, and nothing is lost.

    BUCKETS < 2^20, so that neither product reaches 2^52.
    """
    high = (u >> np.uint64(32)) * np.uint64(BUCKETS)
    low = (u & np.uint64(0xFFFFFFFF)) * np.uint64(BUCKETS)
    return ((high + (low >> np.uint64(32))) >> np.uint64(32)).astype(np.uint32)


def goes_to_everybody(document: DesiredDocument, entry: Entry) -> bool:
    """True if every bucket is below the entry's share, in every cohort: no device needs its bucket to know."""
    return all(entry.ppm.get(cohort.name, 0) == BUCKETS for cohort in document.cohorts)


def chosen(
    document: DesiredDocument,
    cohort_of: npt.NDArray[np.uint8],
    of_salt: Mapping[str, npt.NDArray[np.uint32]],
    releases: Sequence[str],
) -> npt.NDArray[np.uint8]:
    """`choose` for many devices: the number of each one's release in `releases`, or NOTHING.

    `cohort_of` is the number of each device's cohort among the document's cohorts. `of_salt` holds the buckets for the
    salt of every entry that does not go to everybody.
    """
    found = np.full(len(cohort_of), NOTHING, np.uint8)
    for entry in reversed(document.entries):
        number = releases.index(entry.release)
        if goes_to_everybody(document, entry):
            found[:] = number
        else:
            ppm = np.array([entry.ppm.get(cohort.name, 0) for cohort in document.cohorts], np.uint32)
            found[of_salt[entry.salt] < ppm[cohort_of]] = number
    return found

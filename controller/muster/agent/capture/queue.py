"""The queue: samples on the disk, bounded by purpose and model in number, bytes and time, oldest dropped first.

A sample is written content first and record last, and erased record first and content last; each file is complete or
absent. So a stop at any point leaves samples that are whole, and contents without a record, which the next sweep takes.
Room is made before a sample is written: the bounds hold at every moment. Every function is to be called while the place
is held.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from muster.agent.capture.consent import Consent, Number
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.terms import Terms
from muster.agent.folder import read_bounded
from muster.artifacts.durable import INCOMING, sync_folder, write_durably
from muster.kinds.capture import LARGEST_RECORD, LARGEST_SAMPLE, Capture, CaptureRecord
from muster.kinds.digest import digest_of
from muster.kinds.errors import Unusable
from muster.kinds.resource import Declared

_CLOCKS_DIFFER = timedelta(days=1)
_DIGITS = 16
_NUMBER = re.compile(rf"[0-9]{{{_DIGITS}}}")


class Envelope(Declared):
    """A record with what only the device needs: when it was taken, and under which consent."""

    record: CaptureRecord
    consent: Number
    taken_at: AwareDatetime


@dataclass(frozen=True)
class _Place:
    """What the name of a record's file says: `<number>.<model>.<purpose>.<id>`. Names have no dots in them."""

    number: int
    model: str
    purpose: str
    id: str
    record: Path
    content: Path

    @property
    def size(self) -> int:
        """Bytes of the content, as the disk has it."""
        try:
            return self.content.stat(follow_symlinks=False).st_size
        except OSError:
            return 0


@dataclass(frozen=True)
class Waiting:
    """A sample in the queue."""

    place: _Place
    envelope: Envelope

    @property
    def size(self) -> int:
        """Bytes of its content."""
        return self.envelope.record.size


def waiting(place: CapturePlace) -> list[Waiting]:
    """Every sample, oldest first. What cannot be read, or has lost its content, is left out, and swept away."""
    return [sample for found in _places(place) if (sample := _read(found))]


def put(place: CapturePlace, envelope: Envelope, content: bytes, terms: Capture) -> int | None:
    """Add a sample, dropping the oldest of its purpose and model until it fits. How many were dropped; None: too large.

    Raises `TryAgain`, `OSError` if the disk refuses.
    """
    if len(content) > min(terms.size, LARGEST_SAMPLE):
        return None
    everything = _places(place)
    queue = [found for found in everything if (found.model, found.purpose) == (terms.model, terms.purpose)]
    sizes = [found.size for found in queue]
    dropped, held = 0, sum(sizes)
    while dropped < len(queue) and (len(queue) - dropped >= terms.most or held + len(content) > terms.size):
        held -= sizes[dropped]
        _erase(place, queue[dropped])
        dropped += 1
    number = everything[-1].number + 1 if everything else 1
    identity = envelope.record.id
    name = f"{number:0{_DIGITS}d}.{terms.model}.{terms.purpose}.{identity}"
    write_durably(place.contents / identity, content, 0o600, place.disk)
    write_durably(place.records / name, envelope.model_dump_json(exclude_none=True).encode(), 0o600, place.disk)
    return dropped


def content_of(sample: Waiting) -> bytes:
    """The content, as it was taken. Raises `Unusable` if the disk lost it."""
    content = read_bounded(sample.place.content, LARGEST_SAMPLE)
    if digest_of(content) != sample.envelope.record.digest:
        raise Unusable(f"{sample.place.content} changed on this device's disk")
    return content


def drop(place: CapturePlace, samples: Iterable[Waiting]) -> None:
    """Erase samples. Raises `OSError`."""
    for sample in samples:
        _erase(place, sample.place)


def sweep(place: CapturePlace, consent: Consent, terms: Terms, now: datetime) -> int:
    """Erase what may not be here: withdrawn, no longer declared, expired, beyond its bounds, or torn.

    How many samples went. Raises `OSError`.
    """
    samples = waiting(place)
    gone = [sample for sample in samples if not _may_stay(sample, consent, terms, now)]
    kept = [sample for sample in samples if sample not in gone]
    gone += _beyond(kept, terms)
    drop(place, gone)
    names = {path.name for sample in kept if sample not in gone for path in _files_of(sample)}
    for path in place.path.glob(f"{INCOMING}*"):
        place.disk.unlink(path)
    for folder in (place.records, place.contents):
        for path in _files(folder):
            if path.name not in names:
                place.disk.unlink(path)
        if folder.is_dir():
            sync_folder(folder, place.disk)
    return len(gone)


def _may_stay(sample: Waiting, consent: Consent, terms: Terms, now: datetime) -> bool:
    record = sample.envelope.record
    declared = terms.of(record.model, record.purpose)
    if declared is None or consent.given.get(record.purpose) != sample.envelope.consent:
        return False
    age = now - sample.envelope.taken_at
    # A clock that was put back must not make samples last longer.
    return -_CLOCKS_DIFFER <= age < timedelta(microseconds=declared.expiry)


def _beyond(samples: list[Waiting], terms: Terms) -> list[Waiting]:
    """The oldest of each purpose and model that a narrower declaration has no room for."""
    gone = []
    for declared in (capture for captures in terms.models.values() for capture in captures):
        count, size = 0, 0
        for sample in reversed([sample for sample in samples if _is_of(sample, declared)]):
            count, size = count + 1, size + sample.size
            if count > declared.most or size > declared.size:
                gone.append(sample)
    return gone


def _is_of(sample: Waiting, declared: Capture) -> bool:
    record = sample.envelope.record
    return (record.model, record.purpose) == (declared.model, declared.purpose)


def _files_of(sample: Waiting) -> tuple[Path, Path]:
    return sample.place.record, sample.place.content


def _erase(place: CapturePlace, found: _Place) -> None:
    place.disk.unlink(found.record)
    place.disk.unlink(found.content)


def _places(place: CapturePlace) -> list[_Place]:
    """What the names of the records say, oldest first: names begin with a number of fixed length."""
    found = []
    for path in _files(place.records):
        parts = path.name.split(".")
        if len(parts) == len(("number", "model", "purpose", "id")) and _NUMBER.fullmatch(parts[0]):
            found.append(_Place(int(parts[0]), parts[1], parts[2], parts[3], path, place.contents / parts[3]))
    return found


def _read(found: _Place) -> Waiting | None:
    try:
        envelope = Envelope.model_validate_json(read_bounded(found.record, LARGEST_RECORD))
    except (Unusable, ValidationError):
        return None
    record = envelope.record
    fits = (record.model, record.purpose, record.id) == (found.model, found.purpose, found.id)
    return Waiting(found, envelope) if fits and found.size == record.size else None


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []

"""Samples on the server. Three things that only a random id joins: the record, who sent it, and the content.

Contents are files, named by their digest, so that each is kept once however many devices sent it; it goes with the
last record that names it. Files are changed under one lock for all processes on the folder, rows after the file that
they need is there and before the file that they needed is gone: what a stop leaves behind is a file that no row names,
and the next sweep takes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select, update

from muster.apply.ledger import append
from muster.artifacts.durable import make_folder, sync_folder
from muster.attest.private_files import make_private_folder
from muster.kinds.capture import Capture, CaptureRecord
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, TryAgain
from muster.observe.storage import capture_senders, captures, devices, iso, writing

AT_ONCE = 1_000
"""Samples that are erased in one transaction."""


class NotTakenError(Refused):
    """A sample that the server will not take. `status` as HTTP says it."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.status = status


@dataclass(frozen=True)
class Quotas:
    """What is kept at once: of one device, and of all. `open_uploads`: begun by one device, and not complete."""

    device_samples: int = 2_000
    device_bytes: int = 256 * 2**20
    open_uploads: int = 8
    all_bytes: int = 20 * 2**30


@dataclass(frozen=True)
class Progress:
    """How far a sample has come: bytes, and whether it is whole."""

    received: int
    complete: bool


class CaptureStore:
    """Over one folder. Every method may block on the disk; call it in a thread."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        quotas: Quotas | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._quotas = quotas or Quotas()
        self._clock = clock

    def class_of(self, device_id: str) -> str | None:
        """The class that a device is enrolled with."""
        with self._engine.connect() as connection:
            return connection.execute(select(devices.c.device_class).where(devices.c.device_id == device_id)).scalar()

    def begin(self, device_id: str, record: CaptureRecord, terms: Capture) -> Progress:
        """Take a record, or say how far its content has come. Raises `NotTakenError`."""
        row = {
            "id": record.id,
            "purpose": record.purpose,
            "model": record.model,
            "record": record.model_dump(mode="json"),
            "digest": record.digest,
            "size": record.size,
            "complete": False,
            "expires_at": iso(self._clock() + timedelta(microseconds=terms.keep)),
        }
        with self._held():
            # Counted before the storage's one write lock is taken: this folder's lock keeps it true.
            with self._engine.connect() as connection:
                if (known := self._known(connection, device_id, record.id)) is not None:
                    if known["record"] != row["record"]:
                        raise NotTakenError(422, "this id is another sample's", "take another random id")
                    return self._progress(known)
                self._refuse_too_much(connection, device_id, record)
            with writing(self._engine) as connection:
                connection.execute(insert(captures).values(**row))
                connection.execute(insert(capture_senders).values(id=record.id, device_id=device_id))
        return Progress(0, complete=False)

    def add(self, device_id: str, sample: str, offset: int, chunk: bytes) -> Progress:
        """Add a chunk of content where it belongs; one that begins elsewhere changes nothing.

        Raises `NotTakenError` (404: no such sample of this device; 422: the content is not the one that was declared).
        """
        with self._held():
            with self._engine.connect() as connection:
                known = self._known(connection, device_id, sample)
            if known is None:
                raise NotTakenError(404, "this device sent no such sample", "send its record first")
            progress = self._progress(known)
            if progress.complete or offset != progress.received:
                return progress
            if offset + len(chunk) > known["size"]:
                raise NotTakenError(422, "the content is longer than its record says")
            path = self._incoming(sample)
            make_folder(path.parent)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(chunk)
            received = offset + len(chunk)
            if received < known["size"]:
                return Progress(received, complete=False)
            self._complete(known, path)
        return Progress(received, complete=True)

    def erase(self, device_id: str, purpose: str) -> int:
        """Erase what a device sent under a purpose: records, senders and contents. How many samples."""
        of_device = captures.c.id.in_(select(capture_senders.c.id).where(capture_senders.c.device_id == device_id))
        return self._erase((of_device, captures.c.purpose == purpose), "device")

    def forget(self, by: str, *, purpose: str | None = None, device_id: str | None = None) -> int:
        """The same, as a person says it, of a purpose, of a device, or both."""
        where: list[ColumnElement[bool]] = []
        if purpose is not None:
            where.append(captures.c.purpose == purpose)
        if device_id is not None:
            senders = select(capture_senders.c.id).where(capture_senders.c.device_id == device_id)
            where.append(captures.c.id.in_(senders))
        if not where:
            raise Refused("name a purpose or a device", "everything at once is not erased")
        return self._erase(where, by)

    def sweep(self) -> int:
        """Erase what is kept for longer than was declared, and files that no record names. How many samples."""
        if not self._folder.is_dir():
            return 0
        return self._erase((captures.c.expires_at <= iso(self._clock()),), "retention", everything=True)

    def page(self, model: str | None, purpose: str | None, after: str, limit: int) -> list[Mapping[str, Any]]:
        """Records of samples that are whole and not expired, by id. Nothing of who sent them."""
        asked = select(captures.c.record, captures.c.expires_at).where(
            captures.c.complete, captures.c.id > after, captures.c.expires_at > iso(self._clock())
        )
        for column, value in ((captures.c.model, model), (captures.c.purpose, purpose)):
            asked = asked if value is None else asked.where(column == value)
        with self._engine.connect() as connection:
            rows = connection.execute(asked.order_by(captures.c.id).limit(limit))
            return [{**row.record, "expiresAt": row.expires_at} for row in rows]

    def content(self, sample: str) -> bytes:
        """The content of a sample. Raises `NotTakenError` (404)."""
        with self._held():
            with self._engine.connect() as connection:
                row = connection.execute(
                    select(captures.c.digest).where(
                        captures.c.id == sample, captures.c.complete, captures.c.expires_at > iso(self._clock())
                    )
                ).first()
            try:
                return self._content(row.digest).read_bytes() if row else _missing()
            except FileNotFoundError:
                return _missing()

    def _complete(self, known: Mapping[str, Any], path: Path) -> None:
        """The last chunk came: hold the content against its digest, keep it once."""
        with path.open("rb") as file:
            content = file.read()
            os.fsync(file.fileno())
        if digest_of(content) != known["digest"]:
            path.unlink()
            raise NotTakenError(422, "the content is not the one of its record")
        final = self._content(known["digest"])
        make_folder(final.parent)
        path.replace(final)
        sync_folder(final.parent)
        with writing(self._engine) as connection:
            connection.execute(update(captures).where(captures.c.id == known["id"]).values(complete=True))

    def _erase(self, where: Sequence[ColumnElement[bool]], by: str, *, everything: bool = False) -> int:
        erased = 0
        with self._held():
            while rows := self._erase_some(where, by):
                self._unlink(rows)
                erased += len(rows)
            if everything:
                self._clear()
        return erased

    def _erase_some(self, where: Sequence[ColumnElement[bool]], by: str) -> Sequence[Any]:
        """As many as everybody else can wait for; their rows are gone, their files not yet."""
        chosen = select(captures.c.id, captures.c.digest, captures.c.purpose).where(*where).limit(AT_ONCE)
        with writing(self._engine) as connection:
            rows = connection.execute(chosen).all()
            ids = [row.id for row in rows]
            connection.execute(delete(captures).where(captures.c.id.in_(ids)))
            connection.execute(delete(capture_senders).where(capture_senders.c.id.in_(ids)))
            now = self._clock()
            for purpose, count in sorted(Counter(row.purpose for row in rows).items()):
                body = {"purpose": purpose, "by": by, "count": count}
                append(connection, "captures-erased", f"captures-erased/{secrets.token_hex(16)}", body, now)
        return rows

    def _unlink(self, rows: Iterable[Any]) -> None:
        with self._engine.connect() as connection:
            for row in rows:
                self._incoming(row.id).unlink(missing_ok=True)
                if not self._is_named(connection, row.digest):
                    self._content(row.digest).unlink(missing_ok=True)

    def _clear(self) -> None:
        """Erase files that no row names: what a stop in the middle left."""
        with self._engine.connect() as connection:
            for path in self._folder.glob("contents/*/*"):
                if not self._is_named(connection, f"sha256:{path.name}"):
                    path.unlink(missing_ok=True)
            for path in self._folder.glob("incoming/*"):
                asked = select(captures.c.id).where(captures.c.id == path.name, ~captures.c.complete)
                if connection.execute(asked).first() is None:
                    path.unlink(missing_ok=True)

    def _refuse_too_much(self, connection: Connection, device_id: str, record: CaptureRecord) -> None:
        mine = captures.join(capture_senders, captures.c.id == capture_senders.c.id)
        is_mine = capture_senders.c.device_id == device_id
        total = func.coalesce(func.sum(captures.c.size), 0)
        count, size = connection.execute(select(func.count(), total).select_from(mine).where(is_mine)).one()
        unfinished = connection.execute(
            select(func.count()).select_from(mine).where(is_mine, ~captures.c.complete)
        ).scalar_one()
        if count >= self._quotas.device_samples or size + record.size > self._quotas.device_bytes:
            raise NotTakenError(429, "this device has sent as much as is kept of one device")
        if unfinished >= self._quotas.open_uploads:
            raise NotTakenError(429, "samples of this device are begun and not complete", "complete them first")
        if connection.execute(select(total)).scalar_one() + record.size > self._quotas.all_bytes:
            raise TryAgain("there is no room for samples", "erase some, or let them expire")

    def _known(self, connection: Connection, device_id: str, sample: str) -> Mapping[str, Any] | None:
        """A sample, if it is this device's. Raises `NotTakenError` if it is another's."""
        row = connection.execute(select(captures).where(captures.c.id == sample)).mappings().first()
        sender = connection.execute(select(capture_senders.c.device_id).where(capture_senders.c.id == sample)).scalar()
        if row is not None and sender != device_id:
            # The same as for an id that is unknown, but it cannot be taken either.
            raise NotTakenError(404, "this device sent no such sample", "take another random id")
        return dict(row) if row is not None else None

    def _progress(self, known: Mapping[str, Any]) -> Progress:
        if known["complete"]:
            return Progress(known["size"], complete=True)
        try:
            received = self._incoming(known["id"]).stat().st_size
        except FileNotFoundError:
            received = 0
        return Progress(received, complete=False)

    def _is_named(self, connection: Connection, digest: str) -> bool:
        asked = select(captures.c.id).where(captures.c.digest == digest, captures.c.complete)
        return connection.execute(asked.limit(1)).first() is not None

    def _content(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._folder / "contents" / name[:2] / name

    def _incoming(self, sample: str) -> Path:
        return self._folder / "incoming" / sample

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """One process and thread at a time. Raises `TryAgain` if the disk refuses."""
        make_private_folder(self._folder)
        try:
            descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise TryAgain(f"cannot lock {self._folder}: {error.strerror}", "correct the permissions") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise TryAgain(f"the folder of samples refuses: {error.strerror}", "free space") from error
        finally:
            os.close(descriptor)


def _missing() -> bytes:
    raise NotTakenError(404, "there is no such sample")

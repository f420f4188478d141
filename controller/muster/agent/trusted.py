"""What the server publishes, as far as TUF vouches for it: metadata, small targets, and where large ones lie.

Freshness, freeze, rollback and mix-and-match are the business of `tuf.ngclient`. This module adds one thing: when the
server says that `timestamp.json` did not change, the rest is not asked for again until something expires. Such an
answer is not signed, but whoever forges it could as well replay the old file; both end at its expiry date.

What a wrong clock can do, and what not:

- ahead: metadata looks expired, nothing new is taken (`metadata_expired`) until the clock is right. Nothing that was
  remembered meanwhile stands in the way then.
- behind: metadata looks fresh for longer than it is. Versions still only rise, so that what is shown can be withheld,
  never turned back. A timestamp says for how long it is to be believed; this is measured on the steady clock as well,
  from when this process first saw it, so that withholding is noticed (`metadata_expired`). A clock that is behind the
  moment at which the timestamp was signed is reported (`clock_behind`), and keeps nobody from updating: many devices
  have no clock of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Root, TargetFile, Timestamp
from tuf.ngclient import Updater
from tuf.ngclient.fetcher import FetcherInterface

from muster.agent.folder import DeviceFolder
from muster.agent.moment import Moment
from muster.agent.server import METADATA, TARGETS
from muster.agent.setbacks import Postponed, disk_failed, server_away
from muster.agent.sources import Sources
from muster.artifacts.durable import make_folder, sync_tree
from muster.kinds.canonical import canonical_json
from muster.kinds.desired import LIFE_SECONDS
from muster.kinds.digest import digest_of

_TIMESTAMP = f"{METADATA}timestamp.json"
_TIMESTAMP_LIMIT = 16_384
_TOLERANCE = timedelta(minutes=5)
"""By which clocks differ that are right."""
_LONGEST_LIFE = 366 * 86_400


@dataclass(frozen=True)
class Target:
    """A published file: where it lies on the server, how long it is, and its sha256 (64 hexadecimal digits)."""

    path: str
    length: int
    sha256: str


@dataclass(frozen=True)
class _Seen:
    """The timestamp that counts: since when on the steady clock, and what it says of itself (life in seconds)."""

    version: int
    since: float
    expires: datetime
    life: int | None

    def is_over(self, steady: float) -> bool:
        return self.life is not None and steady - self.since >= self.life


class TrustedTargets:
    """A TUF client on one device's folder; `root` is the trusted root given at enrolment."""

    def __init__(self, folder: DeviceFolder, sources: Sources, root: bytes) -> None:
        self._folder = folder.tuf
        self._disk = folder.disk
        self._root = root
        self._fetcher = _Fetcher(sources)
        self._sources = sources
        self._updater: Updater | None = None
        self._etag: str | None = None
        self._fresh_until: datetime | None = None
        self._seen: _Seen | None = None
        self.targets_keys: str | None = None
        """Digest over the ids of the keys that may sign targets; None before the first `refresh`."""

    def refresh(self, now: Moment) -> bool:
        """Bring the metadata up to date. True if it changed, or was read for the first time.

        Raises `Postponed`: server_away, metadata_expired, metadata_invalid, disk_full, disk_refused.
        """
        fresh = self._updater is not None and self._fresh_until is not None and now.wall < self._fresh_until
        if fresh and self._is_unchanged():
            self._refuse_withheld(now)
            return False
        self._updater = None
        with self._blaming(), _mapped_errors(now):
            make_folder(self._folder, self._disk)
            self._remove_leftovers()
            updater = Updater(str(self._folder), METADATA, fetcher=self._fetcher, bootstrap=self._root)
            # python-tuf reads the clock itself, and offers no parameter.
            updater._trusted_set.reference_time = now.wall  # noqa: SLF001
            updater.refresh()
            # TUF's client renames without forcing to disk; what it believes must outlive what is built on it.
            sync_tree(self._folder, self._disk)
            self._fresh_until = self._earliest_expiry()
            self.targets_keys = digest_of(canonical_json(sorted(self._trusted_root().roles["targets"].keyids)))
            self._see(now)
        self._refuse_withheld(now)
        self._etag = self._fetcher.timestamp_etag
        self._updater = updater
        return True

    def doubt(self, now: Moment) -> Postponed | None:
        """`clock_behind`, if this device's clock is behind the moment at which the newest timestamp was signed."""
        if self._seen is None or self._seen.life is None:
            return None
        signed = self._seen.expires - timedelta(seconds=self._seen.life)
        if now.wall >= signed - _TOLERANCE:
            return None
        return Postponed("clock_behind", f"this clock says {now.wall:%F %T}Z, the server signed at {signed:%F %T}Z")

    def find(self, name: str) -> Target | None:
        """Where a target lies; None if nothing of that name is published. Raises `Postponed`."""
        info = self._info(name)
        if info is None:
            return None
        if "sha256" not in info.hashes:
            raise Postponed("metadata_invalid", f"target {name} has no sha256")
        return Target(self._place(name, info), info.length, info.hashes["sha256"])

    def read(self, name: str, limit: int) -> bytes | None:
        """A small target, verified; None if nothing of that name is published. Raises `Postponed`."""
        info = self._info(name)
        if info is None:
            return None
        if info.length > limit:
            raise Postponed("metadata_invalid", f"target {name} has {info.length} bytes, more than {limit}")
        with self._blaming(), _mapped_errors():
            data = self._fetcher.download_bytes(self._place(name, info), info.length)
            info.verify_length_and_hashes(data)
        return data

    def _info(self, name: str) -> TargetFile | None:
        if self._updater is None:
            raise server_away("nothing was fetched from the server yet")
        with _mapped_errors():
            return self._updater.get_targetinfo(name)

    def _place(self, name: str, info: TargetFile) -> str:
        with _mapped_errors():
            root = self._trusted_root()
        folder, slash, file = name.rpartition("/")
        prefix = f"{next(iter(info.hashes.values()))}." if root.consistent_snapshot else ""
        return f"{TARGETS}{folder}{slash}{prefix}{file}"

    def _trusted_root(self) -> Root:
        return Metadata[Root].from_file(str(self._folder / "root.json")).signed

    def _is_unchanged(self) -> bool:
        """True if the server's timestamp is the one we have. If not, TUF's client gets it without asking again."""
        headers = {"If-None-Match": self._etag} if self._etag else {}
        with self._sources.get(_TIMESTAMP, headers) as answer:
            body = answer.read(_TIMESTAMP_LIMIT)
            if answer.status == 304:
                return self._etag is not None
            if answer.status != 200:
                return False
        with _mapped_errors():
            if body == (self._folder / "timestamp.json").read_bytes():
                return True
        self._fetcher.have_timestamp(body, answer.headers.get("etag"))
        return False

    def _see(self, now: Moment) -> None:
        signed = Metadata[Timestamp].from_file(str(self._folder / "timestamp.json")).signed
        if self._seen is None or self._seen.version != signed.version:
            life = signed.unrecognized_fields.get(LIFE_SECONDS)
            known = isinstance(life, int) and not isinstance(life, bool) and 0 < life <= _LONGEST_LIFE
            self._seen = _Seen(signed.version, now.steady, signed.expires, life if known else None)

    def _refuse_withheld(self, now: Moment) -> None:
        if self._seen is not None and self._seen.is_over(now.steady):
            self._updater = None
            self._sources.blame()
            raise Postponed(
                "metadata_expired",
                f"no newer timestamp for {self._seen.life} seconds; this clock says {now.wall:%F %T}Z",
            )

    @contextlib.contextmanager
    def _blaming(self) -> Iterator[None]:
        """What does not verify may do so at the next round, from another source."""
        try:
            yield
        except Postponed as setback:
            if setback.error_code in ("metadata_expired", "metadata_invalid", "server_away"):
                self._sources.blame()
            raise

    def _earliest_expiry(self) -> datetime:
        return min(Metadata.from_file(str(path)).signed.expires for path in self._folder.glob("*.json"))

    def _remove_leftovers(self) -> None:
        """Temporary files that TUF's client left behind when it was killed."""
        for path in self._folder.glob("tmp*"):
            self._disk.unlink(path)


class _Fetcher(FetcherInterface):
    """TUF's way to the server. It keeps the tag of the timestamp that it handed out last."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._timestamp: tuple[bytes, str | None] | None = None
        self.timestamp_etag: str | None = None

    def have_timestamp(self, body: bytes, etag: str | None) -> None:
        """Hand out this timestamp next, instead of asking the server."""
        self._timestamp = (body, etag)

    def _fetch(self, url: str) -> Iterator[bytes]:
        if url == _TIMESTAMP and self._timestamp is not None:
            body, self.timestamp_etag = self._timestamp
            self._timestamp = None
            yield body
            return
        with self._sources.get(url, {}) as answer:
            if answer.status != 200:
                # A missing next root is the usual case: reading its answer keeps the connection.
                answer.read(_TIMESTAMP_LIMIT)
                raise DownloadHTTPError(f"{url}: status {answer.status}", answer.status)
            if url == _TIMESTAMP:
                self.timestamp_etag = answer.headers.get("etag")
            yield from answer.chunks


@contextlib.contextmanager
def _mapped_errors(now: Moment | None = None) -> Iterator[None]:
    try:
        yield
    except ExpiredMetadataError as error:
        clock = f"; this clock says {now.wall:%F %T}Z" if now else ""
        raise Postponed("metadata_expired", f"the server's metadata is too old: {error}{clock}") from error
    except DownloadError as error:
        raise server_away(f"the server does not give what it should: {error}") from error
    except RepositoryError as error:
        raise Postponed("metadata_invalid", f"the server's metadata does not verify: {error}") from error
    except OSError as error:
        raise disk_failed(f"cannot keep the metadata: {error.strerror}", error) from error

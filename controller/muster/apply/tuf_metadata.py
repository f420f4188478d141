"""The four TUF roles as files: root, targets, snapshot, timestamp.

Rules: consistent snapshots, so that `<version>.<role>.json` keeps what a device in mid-update asks for; `targets` has
the generation as its version; the timestamp is renamed into place last and decides what is published. What is read
back is verified as a device does it: the first root by itself, each later one by the one before it, the other roles by
the newest root. No private key is needed for that. The private keys that are here must be those that the root names.

A root names the keys of the one before it, but for those that are replaced (see `key_rotation`). Every key that is here
for a role signs, so that there are two signatures while a key is replaced. The timestamp tells how long its signature
holds (`life_seconds`): a device whose clock is wrong can still measure that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from securesystemslib.signer import Key
from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from muster.apply.key_watch import KeyUse, KeyWatch, nobody
from muster.apply.static_files import read_bounded
from muster.apply.tuf_keys import ROLES, TufKeys
from muster.artifacts.durable import write_durably
from muster.kinds.desired import LIFE_SECONDS
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused

LIVES: Final = {
    # Longer than any key of ours should go without somebody looking at it.
    "root": timedelta(days=365),
    # A controller that is away for a season can come back without a person signing by hand.
    "targets": timedelta(days=90),
    # Signed by a key that stays online, together with the timestamp; a week bridges holidays.
    "snapshot": timedelta(days=7),
    # How long a mirror can hide a newer generation from devices.
    "timestamp": timedelta(days=1),
}
"""How long each role's signature holds. It is renewed when half of that is over."""

# What python-tuf's client reads at most; more would be published for nobody.
_LARGEST: Final = {"root": 512_000, "targets": 5_000_000, "snapshot": 2_000_000, "timestamp": 16_384}
_MOST_ROOTS = 256
RESTORE: Final = "restore the folder of published files from a backup or a mirror; devices keep what they run meanwhile"
_OTHER_KEYS = "restore the keys that belong to it; devices would refuse what other keys sign"

_Role = TypeVar("_Role", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True)
class Roles:
    """The published metadata, verified."""

    root: Root
    timestamp: Timestamp
    snapshot: Snapshot
    targets: Targets

    @property
    def expires(self) -> datetime:
        """When devices stop accepting it."""
        return min(role.expires for role in (self.root, self.timestamp, self.snapshot, self.targets))


def is_due(role: Signed, now: datetime) -> bool:
    """True if half of the role's life is over."""
    return now >= role.expires - LIVES[role.type] / 2


def read_published(path: Path, listed: MetaFile | TargetFile, limit: int) -> bytes:
    """A file, once it has the length and the hashes that are listed for it. Raises `Refused`."""
    data = read_bounded(path, limit)
    if data is None:
        raise Refused(f"{path} is missing", RESTORE)
    try:
        listed.verify_length_and_hashes(data)
    except LengthOrHashMismatchError as error:
        raise Refused(f"{path} is damaged: it is not the file that was published", RESTORE) from error
    return data


class MetadataFolder:
    """Reads and writes the metadata of one repository."""

    def __init__(self, folder: Path, keys: TufKeys, watch: KeyWatch = nobody) -> None:
        self._folder = folder
        self._keys = keys
        self._watch = watch

    @property
    def timestamp_path(self) -> Path:
        """The file that decides what is published."""
        return self._folder / "timestamp.json"

    def first_root(self) -> bytes | None:
        """The bytes of the first root, which devices are set up with; None before there is one."""
        return read_bounded(self._folder / "1.root.json", _LARGEST["root"])

    def roots(self) -> tuple[Root, ...]:
        """Every root from the first on. Raises `Refused` if one is damaged, or the newest is not of the keys here."""
        found: list[Root] = []
        for version in range(1, _MOST_ROOTS + 1):
            path = self._folder / f"{version}.root.json"
            data = read_bounded(path, _LARGEST["root"])
            if data is None:
                break
            root = _verified(path, data, Root, found[-1:])
            if root.version != version:
                raise Refused(f"{path} is damaged: it says version {root.version}", RESTORE)
            found.append(root)
        if found:
            self._refuse_other_keys(path=self._folder / f"{len(found)}.root.json", root=found[-1])
        return tuple(found)

    def root(self) -> Root | None:
        """The newest root, None before there is one. Raises as `roots`."""
        return next(reversed(self.roots()), None)

    def roles(self, besides: Root | None = None) -> Roles | None:
        """What is published, None before anything is. Raises `Refused` if it is damaged, or not of the keys here.

        `besides`: a root whose keys count as well as those of the newest, while one replaces the other.
        """
        root = self.root()
        path = self.timestamp_path
        data = read_bounded(path, _LARGEST["timestamp"])
        if data is None:
            self._refuse_lost_timestamp()
            return None
        if root is None:
            raise Refused(f"{self._folder / '1.root.json'} is missing", RESTORE)
        trusted = [root] if besides is None else [root, besides]
        timestamp = _verified(path, data, Timestamp, trusted)
        snapshot = self._listed(timestamp.snapshot_meta, Snapshot, trusted)
        if "targets.json" not in snapshot.meta:
            raise Refused(f"{self._folder} is damaged: the snapshot names no targets", RESTORE)
        targets = self._listed(snapshot.meta["targets.json"], Targets, trusted)
        return Roles(root, timestamp, snapshot, targets)

    def write_first_root(self, now: datetime) -> None:
        """Sign and write a root that trusts our four keys. Raises `Unusable` unless all of them are here."""
        root = Root(version=1, expires=_expiry("root", now), consistent_snapshot=True)
        for role in ROLES:
            root.add_key(self._keys.signer(role).public_key, role)
        self._write("1.root.json", root, now)

    def write_next_root(self, root: Root, now: datetime, replaced: Mapping[str, Key] | None = None) -> None:
        """Sign and write the root that follows `root`: with the same keys, but for those of the roles in `replaced`.

        Raises `Unusable` if the root's key is not here, `Refused` if devices would follow no further root.
        """
        if root.version >= _MOST_ROOTS:
            raise Refused(
                f"root {root.version} is the last that devices follow", "set up a new controller, and enrol again"
            )
        following = deepcopy(root)
        following.version, following.expires = root.version + 1, _expiry("root", now)
        for role, key in (replaced or {}).items():
            for key_id in tuple(following.roles[role].keyids):
                following.revoke_key(key_id, role)
            following.add_key(key, role)
        self._write(f"{following.version}.root.json", following, now)

    def write_targets(self, generation: int, targets: Mapping[str, TargetFile], now: datetime) -> MetaFile:
        """Sign and write the targets of a generation; no device sees them before `write_timestamp`."""
        signed = Targets(version=generation, expires=_expiry("targets", now), targets=dict(targets))
        return self._write(f"{generation}.targets.json", signed, now)

    def write_snapshot(self, version: int, targets: MetaFile, now: datetime) -> MetaFile:
        """Sign and write a snapshot; no device sees it before `write_timestamp`."""
        signed = Snapshot(version=version, expires=_expiry("snapshot", now), meta={"targets.json": targets})
        return self._write(f"{version}.snapshot.json", signed, now)

    def write_timestamp(self, version: int, snapshot: MetaFile, now: datetime) -> None:
        """Sign the timestamp and rename it into place: from here on devices see the snapshot it names."""
        signed = Timestamp(
            version=version,
            expires=_expiry("timestamp", now),
            snapshot_meta=snapshot,
            unrecognized_fields={LIFE_SECONDS: int(LIVES["timestamp"].total_seconds())},
        )
        self._write("timestamp.json", signed, now)

    def _write(self, name: str, signed: _Role, now: datetime) -> MetaFile:
        metadata = Metadata(signed)
        about = f"{name} version {signed.version}"
        for signer in self._keys.signers_of(signed.type):
            use = KeyUse(signer.public_key.keyid, f"tuf-{signed.type}", about, digest_of(metadata.signed_bytes))
            self._watch(use, now)
            metadata.sign(signer, append=True)
        data = metadata.to_bytes()
        if len(data) > _LARGEST[signed.type]:
            raise Refused(
                f"{name} would have {len(data)} bytes, more than the {_LARGEST[signed.type]} that devices read",
                "declare fewer releases",
            )
        write_durably(self._folder / name, data)
        return MetaFile(signed.version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})

    def _listed(self, meta: MetaFile, kind: type[_Role], trusted: Sequence[Root]) -> _Role:
        path = self._folder / f"{meta.version}.{kind.type}.json"
        signed = _verified(path, read_published(path, meta, _LARGEST[kind.type]), kind, trusted)
        if signed.version != meta.version:
            raise Refused(f"{path} is damaged: it says version {signed.version}", RESTORE)
        return signed

    def _refuse_other_keys(self, path: Path, root: Root) -> None:
        for role in self._keys.signers:
            here = [signer.public_key.keyid for signer in self._keys.signers_of(role)]
            if not set(root.roles[role].keyids) <= set(here):
                raise Refused(f"{path} trusts another {role} key than this controller has", _OTHER_KEYS)

    def _refuse_lost_timestamp(self) -> None:
        # Before the first timestamp only snapshot 1 can exist: more means that a timestamp was lost, and starting
        # again at generation 1 would be refused by every device.
        if (self._folder / "2.snapshot.json").exists():
            raise Refused(f"{self.timestamp_path} is missing", RESTORE)


def _verified(path: Path, data: bytes, kind: type[_Role], trusted: Sequence[Root]) -> _Role:
    """What a file says, once its signature holds by one of `trusted`; a root's also by itself, the first's only so."""
    try:
        metadata = Metadata[_Role].from_bytes(data)
        signed = metadata.signed
        if not isinstance(signed, kind):
            raise Refused(f"{path} is damaged: it holds no {kind.type}", RESTORE)
        for roots in (trusted, [signed] if isinstance(signed, Root) else []):
            if not roots or any(
                root.get_verification_result(kind.type, metadata.signed_bytes, metadata.signatures) for root in roots
            ):
                continue
            if not any(set(root.roles[kind.type].keyids) & set(metadata.signatures) for root in roots):
                raise Refused(f"{path} was not signed by this controller's {kind.type} key", _OTHER_KEYS)
            raise Refused(f"{path} is damaged: its signature does not hold", RESTORE)
    except (DeserializationError, RepositoryError) as error:
        raise Refused(f"{path} is damaged: {error}", RESTORE) from error
    return signed


def _expiry(role: str, now: datetime) -> datetime:
    return now.astimezone(UTC).replace(microsecond=0) + LIVES[role]

"""A TUF repository in memory whose owner can be told to err, and a device's client that starts anew for every request.

Change what is in `signed` and `signers` by assignment; `publish` raises versions, and names what is new one role above.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent_simulator import SimulatedServer
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from muster.agent.folder import DeviceFolder
from muster.agent.moment import Moment
from muster.agent.setbacks import Postponed
from muster.agent.sources import Sources
from muster.agent.trusted import TrustedTargets

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
FAR = NOW + 30 * DAY
METADATA = "/tuf/metadata/"
BELOW_ROOT = ("targets", "snapshot", "timestamp")


class TufRepository:
    """Version 1 of everything is published. `lists_hashes`: timestamp and snapshot give hashes, too."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.lists_hashes = False
        self.root = Root(expires=FAR, consistent_snapshot=True)
        self.targets = Targets(expires=FAR)
        self.snapshot = Snapshot(expires=FAR)
        self.timestamp = Timestamp(expires=FAR)
        self.signed: dict[str, Any] = {
            "root": self.root,
            "targets": self.targets,
            "snapshot": self.snapshot,
            "timestamp": self.timestamp,
        }
        for signed in self.signed.values():
            signed.version = 0
        self.signers: dict[str, list[CryptoSigner]] = {role: [] for role in self.signed}
        for role in self.signers:
            self.add_key(role)
        self.publish("root", *BELOW_ROOT)

    def add_key(self, role: str, signer: CryptoSigner | None = None) -> CryptoSigner:
        """A key more, in the root and among those that sign."""
        signer = signer or CryptoSigner.generate_ed25519()
        self.root.add_key(signer.public_key, role)
        self.signers[role].append(signer)
        return signer

    def rotate_keys(self, role: str) -> None:
        """One new key in the place of all."""
        for key_id in tuple(self.root.roles[role].keyids):
            self.root.revoke_key(key_id, role)
        self.signers[role] = []
        self.add_key(role)

    def publish(self, *roles: str) -> None:
        """The next version of these roles, from what is named to what names it."""
        order = [role for role in self.signed if role not in ("root", *BELOW_ROOT)]
        for role in ("root", *order, *BELOW_ROOT):
            if role in roles:
                self.signed[role].version += 1
                self.write(role)

    def write(self, role: str, version: int | None = None) -> None:
        """Sign what is there, and put it where this version belongs; by default its own."""
        signed = self.signed[role]
        data = self.sign(role)
        name = "timestamp.json" if role == "timestamp" else f"{version or signed.version}.{quoted(role)}.json"
        self.files[METADATA + name] = data
        meta = MetaFile(signed.version)
        if self.lists_hashes:
            meta = MetaFile(signed.version, len(data), {"sha256": hashlib.sha256(data).hexdigest()})
        if role == "snapshot":
            self.timestamp.snapshot_meta = meta
        elif role not in ("root", "timestamp"):
            self.snapshot.meta[f"{role}.json"] = meta

    def sign(self, role: str) -> bytes:
        """The role's metadata with a signature of each of its signers."""
        metadata = Metadata(self.signed[role])
        for signer in self.signers[role]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def put(self, path: str, data: bytes, *, by: str = "targets", hashes: Sequence[str] = ("sha256",)) -> None:
        """A target, listed by this role at its next version."""
        target = TargetFile.from_data(path, data, list(hashes))
        self.signed[by].targets[path] = target
        folder, slash, name = path.rpartition("/")
        for digest in target.hashes.values():
            self.files[f"/tuf/targets/{folder}{slash}{digest}.{name}"] = data

    def delegate(self, by: str, role: DelegatedRole, expires: datetime = FAR) -> None:
        """A role (new or not) that is delegated to by another one, with a key of its own; not yet published."""
        if role.name not in self.signed:
            self.signed[role.name] = Targets(expires=expires)
            self.signed[role.name].version = 0
            self.signers[role.name] = [CryptoSigner.generate_ed25519()]
        delegator = self.signed[by]
        delegator.delegations = delegator.delegations or Delegations({}, {})
        delegator.delegations.roles[role.name] = role
        for signer in self.signers[role.name]:
            delegator.add_key(signer.public_key, role.name)

    def publish_all(self) -> None:
        """Everything but the root."""
        self.publish(*(role for role in self.signed if role != "root"))


def quoted(role: str) -> str:
    """A role's name as it stands in addresses: what is not a letter or digit, as %XX."""
    return "".join(one if one.isalnum() or one in "-_.~" else f"%{ord(one):02X}" for one in role)


class Client:
    """The agent's TUF client on one device; every request comes after a start."""

    def __init__(self, folder: Path, repository: TufRepository) -> None:
        self.root = repository.files[f"{METADATA}1.root.json"]
        self._folder = DeviceFolder(folder)
        self._server = SimulatedServer(repository)
        self._trusted: TrustedTargets | None = None

    def refresh(self, at: datetime = NOW) -> str | None:
        """The error code, None if all is well."""
        self._server.requests.clear()
        self._trusted = TrustedTargets(self._folder, Sources(self._server), self.root)
        try:
            self._trusted.refresh(Moment(0.0, at))
        except Postponed as setback:
            return setback.error_code
        return None

    def download(self, target: str, at: datetime = NOW) -> bytes | str | None:
        """The target's bytes, None if there is none, or the error code."""
        if (problem := self.refresh(at)) is not None:
            return problem
        try:
            return self._trusted.read(target, 1_000)
        except Postponed as setback:
            return setback.error_code

    @property
    def asked(self) -> list[str]:
        """Which metadata the last request asked the server for."""
        return [path.removeprefix(METADATA) for _, path in self._server.requests if path.startswith(METADATA)]

    @property
    def files(self) -> dict[str, bytes]:
        """{name: bytes} of what it keeps."""
        return {path.name: path.read_bytes() for path in self._folder.tuf.glob("*.json")}

    @property
    def versions(self) -> tuple[int, ...]:
        """Of what it trusts: root, targets, snapshot, timestamp; 0 for what it has not."""
        kept = self.files
        return tuple(
            Metadata.from_bytes(kept[f"{role}.json"]).signed.version if f"{role}.json" in kept else 0
            for role in ("root", *BELOW_ROOT)
        )

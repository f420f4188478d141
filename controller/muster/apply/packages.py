"""Packages for DDI clients: what their classes declare, made from what is published. O(releases), and never twice.

A package is made before any client is told of it. It says nothing that the artifact does not: the digest inside is the
one that git pins, and the signature is one of a key that git declares for `packages`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from muster.apply.key_setup import NAMED
from muster.apply.key_watch import KeyUse, KeyWatch
from muster.apply.publish import Publisher
from muster.artifacts.durable import write_chunks
from muster.artifacts.swu import describe, pack_swu
from muster.attest.keys import key_id, public_half, read_signing_key
from muster.attest.package_signature import sign_package
from muster.attest.state_keys import StateKeys
from muster.kinds.desired import Entry
from muster.kinds.device_class import DeviceClass
from muster.kinds.digest import digest_of, digest_of_value, hex_of
from muster.kinds.errors import MusterError, Unusable
from muster.kinds.fleet import Fleet
from muster.observe.status import read_status, write_status
from muster.observe.storage import writing
from muster.plan.conditions import Condition, condition

SUBJECT: Final = "ddi"
"""Under which status the loop says which classes have DDI clients, and what there is for them."""

FOLDER: Final = "packages"
KEPT: Final = timedelta(days=14)
"""How long a package stays that no document names any more: as long as a device may take to fetch one."""
_CHUNK: Final = 2**20


@dataclass(frozen=True)
class Packed:
    """What clients can be given, as the status says it, and why something is missing from it."""

    classes: dict[str, dict[str, Any]]
    complaints: tuple[str, ...]


@dataclass(frozen=True)
class Packages:
    """Packages of one state folder."""

    engine: Engine
    state: Path
    publisher: Publisher
    watch: KeyWatch

    def settle(self, fleet: Fleet, now: datetime) -> tuple[Condition, ...]:
        """Pack, and say what there is and whether all is; nothing where no class has DDI clients."""
        with self.engine.connect() as connection:
            said = read_status(connection, SUBJECT) or {}
        packed = self.pack(fleet, said, now)
        if packed.classes != said:
            with writing(self.engine) as connection:
                write_status(connection, SUBJECT, packed.classes, now)
        if not packed.classes:
            return ()
        found = condition(
            "PackagesMade",
            holds=not packed.complaints,
            reason="PackageMissing" if packed.complaints else "Made",
            message="; ".join(packed.complaints) or "DDI clients can fetch all that is on offer to them",
            now=now,
            generation=self.publisher.published().generation,
        )
        return (found,)

    def pack(self, fleet: Fleet, said: Mapping[str, Any], now: datetime) -> Packed:
        """Make what is missing and remove what is long gone. `said` is what the last call returned as `classes`."""
        classes: dict[str, dict[str, Any]] = {}
        complaints: list[str] = []
        documents = self.publisher.published().documents
        for device_class in fleet.device_classes:
            name = device_class.metadata.name
            if device_class.spec.agent != "ddi":
                continue
            before = said.get(name, {}).get("files", {})
            files: dict[str, Any] = {}
            for (_, class_name), document in sorted(documents.items()):
                for entry in document.entries if class_name == name else ():
                    key = entry.artifact.digest
                    try:
                        files[key] = self._file(device_class, (document.model, entry), fleet, before.get(key), now)
                    except MusterError as error:
                        complaints.append(f"{entry.release} for {name}: {error.message}")
            files |= _still_kept(before, files, now)
            classes[name] = {
                "package": device_class.spec.package,
                "models": list(device_class.spec.models),
                "files": files,
            }
        self._remove_gone(said, classes)
        return Packed(classes, tuple(complaints))

    def _file(
        self,
        device_class: DeviceClass,
        offer: tuple[str, Entry],
        fleet: Fleet,
        old: Mapping[str, Any] | None,
        now: datetime,
    ) -> dict[str, Any]:
        (model, entry), spec = offer, device_class.spec
        artifact = entry.artifact.digest
        trusted = [one.spec.public_key for one in fleet.keys_for("packages")]
        key = package_key(self.state, trusted) if spec.package == "swu" else None
        signer = key_id(public_half(key)) if key else None
        packaging = spec.swu.model_dump(mode="json")
        made_of = digest_of_value([spec.package, model, entry.release, artifact, packaging, signer])
        if old and old["of"] == made_of and (self.state / old["path"]).is_file():
            return {name: value for name, value in old.items() if name != "leftAt"}
        published = self.publisher.artifact(artifact).path
        if key is None:
            path = published
        else:
            path = self.state / FOLDER / f"{hex_of(made_of)}.swu"
            description = describe(spec.swu, model, entry.version, artifact)
            signature = sign_package(description, key)
            self.watch(KeyUse(signer or "", "packages", entry.release, digest_of(signature)), now)
            write_chunks(path, pack_swu(description, signature, published))
        return {
            "filename": f"{model}-{entry.version}.{spec.package}",
            "path": str(path.relative_to(self.state)),
            "of": made_of,
            "model": model,
            "version": entry.version,
            **_measure(path),
        }

    def _remove_gone(self, said: Mapping[str, Any], classes: Mapping[str, Any]) -> None:
        named = {one["path"] for known in classes.values() for one in known["files"].values()}
        for known in said.values():
            for one in known["files"].values():
                if one["path"] not in named and one["path"].startswith(f"{FOLDER}/"):
                    (self.state / one["path"]).unlink(missing_ok=True)


def package_key(state: Path, trusted: Sequence[str]) -> bytes:
    """The private key of this controller that is declared for packages. Raises `Unusable` if there is none here."""
    keys = StateKeys.of(state)
    wanted = {key_id(pem) for pem in trusted}
    for path in (keys.signing_path, *sorted((keys.folder / NAMED).glob("*.pem"))):
        if path.exists() and key_id(public_half(pem := read_signing_key(path))) in wanted:
            return pem
    raise Unusable(
        "no key that is here is declared for packages",
        "mkdir -p policies/keys && muster keys new swu --use packages > policies/keys/swu.yaml",
    )


def _still_kept(before: Mapping[str, Any], files: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    kept = {}
    for artifact, one in before.items():
        left = one.get("leftAt", now.isoformat())
        if artifact not in files and now - datetime.fromisoformat(left) < KEPT:
            kept[artifact] = {**one, "leftAt": left}
    return kept


def _measure(path: Path) -> dict[str, Any]:
    """Size and digests. SHA-1 and MD5 are what the clients compare, against damage; the signature is what protects."""
    found = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha1", "md5", "sha256")}
    size = 0
    for chunk in _chunks(path):
        size += len(chunk)
        for one in found.values():
            one.update(chunk)
    return {"size": size, **{name: one.hexdigest() for name, one in found.items()}}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk

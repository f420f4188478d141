"""Publishing desired state as static TUF files: `<public>/metadata` and `<public>/targets`.

Rules: the generation strictly rises; every file that a generation names is on disk before the timestamp that makes it
visible; whatever is cut off leaves the former generation valid, and the same call again completes the new one. No
artifact is named before its bytes and its signature were verified. Files that are no longer named stay, because a
device may be in the middle of fetching them.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from securesystemslib.signer import Key
from tuf.api.metadata import MetaFile, TargetFile

from muster.apply.key_watch import KeyWatch, nobody
from muster.apply.published_artifact import ArtifactVerifier, PublishedArtifact, same_file
from muster.apply.published_deltas import Older, PublishedDeltas, dump_index, older_artifacts, read_index
from muster.apply.static_files import only_writer, place_file, read_bounded
from muster.apply.tuf_keys import ONLINE, ROLES, TufKeys
from muster.apply.tuf_metadata import RESTORE, MetadataFolder, Roles, is_due, read_published
from muster.artifacts.bundle import CONFIG, MODEL
from muster.artifacts.durable import write_durably
from muster.attest.keys import key_id
from muster.attest.model_signature import LARGEST as LARGEST_SIGNATURE
from muster.kinds.canonical import canonical_json
from muster.kinds.delta import DELTAS, LARGEST_INDEX, DeltaIndex
from muster.kinds.desired import DesiredDocument, Entry, artifact_target, signature_target
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused, Unusable
from muster.plan.world import Published

__all__ = ["SIGNING_KEYS_TARGET", "PublishedArtifact", "Publisher"]

log = logging.getLogger("muster")

SIGNING_KEYS_TARGET: Final = "trust/signing-keys.json"
_LARGEST_DOCUMENT = 4 * 1024 * 1024
_LARGEST_GENERATION = 2**53 - 1


class Publisher:
    """Publishes into one folder with the keys that are here. One process at a time: others get `TryAgain`.

    Reading needs no key: `Publisher(public, TufKeys())`. What each key is needed for stands in `tuf_keys`.
    """

    def __init__(self, public: Path, keys: TufKeys, watch: KeyWatch = nobody) -> None:
        self._public = public
        self._targets = public / "targets"
        self._keys = keys
        self._metadata = MetadataFolder(public / "metadata", keys, watch)
        self._verifier = ArtifactVerifier()
        self._deltas = PublishedDeltas(self._targets)
        self._warned: set[str] = set()
        self._seen: tuple[bytes, Published] | None = None

    def init_root(self, now: datetime) -> bytes:
        """The first root, which devices are set up with; made if there is none yet.

        Raises `Refused` if there is one of other keys.
        """
        with only_writer(self._public):
            return self._init_root(now)

    def published(self) -> Published:
        """What devices can fetch now, read from disk. Raises `Refused` if it is damaged or not of our keys."""
        timestamp = read_bounded(self._metadata.timestamp_path, LARGEST_SIGNATURE)
        if timestamp is not None and self._seen is not None and self._seen[0] == timestamp:
            return self._seen[1]
        roles = self._metadata.roles()
        if roles is None:
            return Published()
        targets = roles.targets.targets
        documents = [
            self._document(target, roles.targets.version)
            for path, target in targets.items()
            if path.startswith("desired/")
        ]
        published = Published(
            generation=roles.targets.version,
            documents={(document.model, document.device_class): document for document in documents},
            artifacts=frozenset(
                f"sha256:{Path(path).stem}"
                for path in targets
                if path.startswith("artifacts/") and path.endswith(".tar")
            ),
        )
        if timestamp is not None:
            self._seen = (timestamp, published)
        return published

    def expires(self) -> datetime | None:
        """When devices stop accepting what is published; None if nothing is. Raises `Refused` as `published` does."""
        roles = self._metadata.roles()
        return roles.expires if roles else None

    def publish(
        self,
        generation: int,
        documents: Iterable[DesiredDocument],
        artifacts: Mapping[str, PublishedArtifact],
        signing_keys: Sequence[str],
        now: datetime,
    ) -> None:
        """Make `generation` what devices fetch. `artifacts` are given by digest; those that no document names are not
        published. The call that published the current generation may be repeated and changes nothing.

        Raises `Refused` if the generation does not rise, or an artifact is missing, altered, unsigned or signed by
        another key; `Unusable` if the targets key is not here; `TryAgain` if the disk refuses or another process
        publishes.
        """
        if not 1 <= generation <= _LARGEST_GENERATION:
            raise Unusable(f"{generation} is no generation", f"it runs from 1 to {_LARGEST_GENERATION}")
        for role in ("targets", *ONLINE):
            self._keys.signer(role)
        with only_writer(self._public):
            self._init_root(now)
            roles = self._metadata.roles()
            if roles and generation < roles.targets.version:
                raise _not_rising(generation, roles)
            ordered = sorted(documents, key=lambda document: document.target)
            named = self._verify(generation, ordered, artifacts, signing_keys)
            contents = _contents(ordered, named, signing_keys)
            if roles and generation == roles.targets.version:
                # What devices could run before decides which deltas there are: those of this call are made already.
                known = {path: item for path, item in roles.targets.targets.items() if not path.startswith(DELTAS)}
                if _targets(contents, named) != known:
                    raise _not_rising(generation, roles)
                return
            former = self._former_indexes(roles)
            indexes = self._deltas.make(named, self._older(ordered, roles), former)
            contents |= {index.target: dump_index(index) for index in indexes}
            targets = _targets(contents, named)
            self._write_targets(contents, named, targets)
            self._make_visible(roles, self._metadata.write_targets(generation, targets, now), now)
            self._deltas.tidy([*former.values(), *indexes])

    def refresh(self, now: datetime) -> bool:
        """Sign again what has used up half of its life; True if something was. The generation stays.

        The root and the targets are left as they are while their key is elsewhere (see `unrenewable`), with a warning
        in the log. Raises `Refused` if what is published is damaged, `Unusable` if an online key that is needed is not
        here, `TryAgain` as `publish` does.
        """
        with only_writer(self._public):
            renewed = self._renew_root(now)
            roles = self._metadata.roles()
            if roles is None:
                return renewed
            self._warn(roles, now)
            meta = roles.snapshot.meta["targets.json"]
            if (is_due(roles.targets, now) or meta.hashes is None) and "targets" in self._keys.signers:
                self._refresh_targets(roles, now)
            elif is_due(roles.snapshot, now):
                self._make_visible(roles, meta, now)
            elif is_due(roles.timestamp, now):
                self._metadata.write_timestamp(roles.timestamp.version + 1, roles.timestamp.snapshot_meta, now)
            else:
                return renewed
            return True

    def rotate(self, following: Mapping[str, Key], now: datetime) -> int:
        """Have the root name these keys, by role, and what is published signed by them; returns the root's version.

        The private keys must be here, as those that follow or (where the old one is lost) as the role's own. May be
        repeated after a crash. Where the old keys are here too, devices see no moment in which something does not
        verify; where not, they take nothing new between the root and what follows it.

        Raises `Refused` if devices follow no further root; else as `publish`. Call it once there is one.
        """
        with only_writer(self._public):
            roots = self._metadata.roots()
            newest, before = roots[-1], roots[-2:][0]
            if any(newest.roles[role].keyids != [key.keyid] for role, key in following.items()):
                if all(role in self._keys.signers for role in following):
                    self._sign_again(following, self._metadata.roles(), now)
                self._metadata.write_next_root(newest, now, following)
                before = newest
            try:
                self._metadata.roles()
            except Refused:
                # Only the key that is gone signed it; if it is damaged, this is refused as well.
                self._sign_again(following, self._metadata.roles(before), now)
            return self._metadata.roots()[-1].version

    def root_version(self) -> int:
        """Version of the newest root; 0 before there is one. Raises as `published` does."""
        return len(self._metadata.roots())

    def key_ids(self) -> dict[str, str]:
        """{role: id of the key that the newest root names}; empty before there is one. Raises as `published` does."""
        root = self._metadata.root()
        return {role: root.roles[role].keyids[0] for role in ROLES} if root else {}

    def unrenewable(self, now: datetime) -> dict[str, datetime]:
        """The roles that are due to be signed again with a key that is not here, and when their signature ends.

        Devices take nothing any more after that. Raises `Refused` as `published` does.
        """
        roles = self._metadata.roles()
        return self._unrenewable(roles, now) if roles else {}

    def artifact(self, digest: str) -> PublishedArtifact:
        """A published artifact and its signature, not verified. Raises `Refused` if it is not published."""
        roles = self._metadata.roles()
        tar = roles.targets.targets.get(artifact_target(digest)) if roles else None
        signature = roles.targets.targets.get(signature_target(digest)) if roles else None
        if tar is None or signature is None:
            raise Refused(f"artifact {digest} is not published", "see what is: muster get releases")
        return PublishedArtifact(self._path(tar), digest, tar.length, self._read(signature, LARGEST_SIGNATURE))

    def signing_keys(self) -> tuple[str, ...]:
        """The public keys that devices trust for artifacts now. Raises `Refused` if what is published is damaged."""
        roles = self._metadata.roles()
        target = roles.targets.targets.get(SIGNING_KEYS_TARGET) if roles else None
        return tuple(json.loads(self._read(target, LARGEST_SIGNATURE))["keys"]) if target else ()

    def _unrenewable(self, roles: Roles, now: datetime) -> dict[str, datetime]:
        elsewhere = [role for role in (roles.root, roles.targets) if role.type not in self._keys.signers]
        return {role.type: role.expires for role in elsewhere if is_due(role, now)}

    def _warn(self, roles: Roles, now: datetime) -> None:
        """Once per process and role: the loop refreshes at every tick."""
        due = self._unrenewable(roles, now)
        for role in due.keys() - self._warned:
            log.warning(
                "tuf-%s.pem is not here, and what it signed ends at %s: bring it back, and reconcile once",
                role,
                due[role].isoformat(),
            )
        self._warned |= due.keys()

    def _renew_root(self, now: datetime) -> bool:
        root = self._metadata.root()
        if root is None or not is_due(root, now) or "root" not in self._keys.signers:
            return False
        self._metadata.write_next_root(root, now)
        return True

    def _init_root(self, now: datetime) -> bytes:
        if self._metadata.root() is None:
            self._metadata.write_first_root(now)
        return self._metadata.first_root() or b""

    def _verify(
        self,
        generation: int,
        documents: Sequence[DesiredDocument],
        artifacts: Mapping[str, PublishedArtifact],
        signing_keys: Sequence[str],
    ) -> list[PublishedArtifact]:
        """The artifacts that the documents name, each verified, in the order of their digests."""
        if len({document.target for document in documents}) != len(documents):
            raise Refused("two documents are about the same model and device class", "give one document for each pair")
        for document in documents:
            if document.generation > generation:
                raise Refused(
                    f"{document.target} says generation {document.generation}, newer than {generation}",
                    f"publish it as generation {document.generation} or later",
                )
        entries = [entry for document in documents for entry in document.entries]
        named = {}
        for entry in entries:
            artifact = artifacts.get(entry.artifact.digest)
            if artifact is None:
                raise Refused(
                    f"{entry.release} names artifact {entry.artifact.digest}, which is not prepared",
                    "prepare it first: rebuild and sign it, then publish",
                )
            _refuse_other_pins(entry, artifact, self._verifier.verify(artifact, signing_keys))
            named[artifact.digest] = artifact
        return [named[digest] for digest in sorted(named)]

    def _write_targets(
        self, contents: Mapping[str, bytes], named: Iterable[PublishedArtifact], targets: Mapping[str, TargetFile]
    ) -> None:
        for artifact in named:
            path = self._path(targets[artifact_target(artifact.digest)])
            if not same_file(path, artifact):
                place_file(artifact.path, path)
        for name, data in contents.items():
            path = self._path(targets[name])
            if read_bounded(path, max(len(data), _LARGEST_DOCUMENT)) != data:
                write_durably(path, data)

    def _former_indexes(self, roles: Roles | None) -> dict[str, DeltaIndex]:
        """Those of the published generation that can be read."""
        found = {}
        for path, target in roles.targets.targets.items() if roles else ():
            if path.startswith(DELTAS):
                with contextlib.suppress(Refused):
                    index = read_index(self._read(target, LARGEST_INDEX))
                    if index is not None and index.target == path:
                        found[index.artifact] = index
        return found

    def _older(self, documents: Sequence[DesiredDocument], roles: Roles | None) -> dict[str, list[Older]]:
        """Artifact → published ones that devices may run when they are offered it."""
        published = roles.targets.targets if roles else {}
        before = []
        for path, target in published.items():
            if path.startswith("desired/"):
                # A damaged one is repaired by this very call.
                with contextlib.suppress(Refused):
                    before.append(self._document(target, roles.targets.version if roles else 0))
        return {
            digest: [Older(old, self._path(tar)) for old in others if (tar := published.get(artifact_target(old)))]
            for digest, others in older_artifacts(documents, before).items()
        }

    def _make_visible(self, roles: Roles | None, targets: MetaFile, now: datetime) -> None:
        snapshot = self._metadata.write_snapshot(roles.snapshot.version + 1 if roles else 1, targets, now)
        self._metadata.write_timestamp(roles.timestamp.version + 1 if roles else 1, snapshot, now)

    def _refresh_targets(self, roles: Roles, now: datetime) -> None:
        """Replace the targets file of a generation, which the snapshot pins by its hash.

        In between stands a snapshot that names the version alone: with it the old file and the new one are both
        valid, so that a crash at any point leaves something that devices accept.
        """
        version = roles.targets.version
        self._make_visible(roles, MetaFile(version), now)
        signed = self._metadata.write_targets(version, roles.targets.targets, now)
        between = self._metadata.roles()
        self._make_visible(between, signed, now)

    def _sign_again(self, roles_of: Iterable[str], roles: Roles | None, now: datetime) -> None:
        """Sign what these roles signed with the keys that are here now."""
        if roles is None:
            return
        if "targets" in roles_of:
            self._refresh_targets(roles, now)
        elif "snapshot" in roles_of:
            self._make_visible(roles, roles.snapshot.meta["targets.json"], now)
        elif "timestamp" in roles_of:
            self._metadata.write_timestamp(roles.timestamp.version + 1, roles.timestamp.snapshot_meta, now)

    def _document(self, target: TargetFile, generation: int) -> DesiredDocument:
        data = self._read(target, _LARGEST_DOCUMENT)
        try:
            document = DesiredDocument.model_validate_json(data)
        except ValidationError as error:
            raise Refused(f"{self._path(target)} is no desired document", RESTORE) from error
        if document.target != target.path or document.generation > generation:
            raise Refused(f"{self._path(target)} is about {document.target}, generation {document.generation}", RESTORE)
        return document

    def _read(self, target: TargetFile, limit: int) -> bytes:
        return read_published(self._path(target), target, limit)

    def _path(self, target: TargetFile) -> Path:
        return self._targets / target.get_prefixed_paths()[0]


def _contents(
    documents: Iterable[DesiredDocument], named: Iterable[PublishedArtifact], signing_keys: Sequence[str]
) -> dict[str, bytes]:
    """The small target files: everything but the artifacts themselves."""
    contents = {document.target: canonical_json(document.model_dump(mode="json")) for document in documents}
    for target, data in contents.items():
        if len(data) > _LARGEST_DOCUMENT:
            raise Refused(
                f"{target} would have {len(data)} bytes, more than {_LARGEST_DOCUMENT}",
                "let fewer releases of that model reach devices: take old ones back, or raise the newest to 100%",
            )
    contents |= {signature_target(artifact.digest): artifact.signature for artifact in named}
    keys = {key_id(pem): pem for pem in signing_keys}
    contents[SIGNING_KEYS_TARGET] = canonical_json({"keys": [keys[name] for name in sorted(keys)]})
    return contents


def _targets(contents: Mapping[str, bytes], named: Iterable[PublishedArtifact]) -> dict[str, TargetFile]:
    targets = {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in contents.items()}
    for artifact in named:
        path = artifact_target(artifact.digest)
        targets[path] = TargetFile(artifact.size, {"sha256": hex_of(artifact.digest)}, path)
    return targets


def _refuse_other_pins(entry: Entry, artifact: PublishedArtifact, files: Mapping[str, str]) -> None:
    pins = {
        "artifact digest": (entry.artifact.digest, artifact.digest),
        "artifact size": (entry.artifact.size, artifact.size),
        "model hash": (entry.model_hash, files[MODEL]),
        "config version": (entry.config_version, files[CONFIG]),
    }
    for name, (pinned, found) in pins.items():
        if pinned != found:
            raise Refused(f"{entry.release} pins {name} {pinned}, its artifact has {found}", "build the release again")


def _not_rising(generation: int, roles: Roles) -> Refused:
    return Refused(
        f"generation {generation} is not newer than the published one, {roles.targets.version}",
        "a generation never goes down, a rollback included: publish a higher one",
    )

"""Slots: verified artifacts, unpacked under their digest.

A slot exists only if the bundle was well formed, a trusted key signed exactly its files, and its manifest is about the
release that it is for. It is unpacked beside its place and renamed into it, so that there is no half of a slot.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from muster.agent.folder import DeviceFolder, read_bounded
from muster.agent.journal import Slot
from muster.agent.setbacks import StepFailed, disk_failed
from muster.artifacts.bundle import LIMITS, MANIFEST, unpack_bundle
from muster.artifacts.durable import make_folder, remove_tree, write_durably
from muster.artifacts.manifest import Manifest, read_manifest
from muster.attest.artifact_files import files_of_folder
from muster.attest.model_signature import LARGEST, verify_files
from muster.kinds.desired import Entry
from muster.kinds.digest import digest_of, hex_of
from muster.kinds.errors import MusterError, Refused, TryAgain

SIGNATURE = "signature.json"
_UNPACKING = ".tmp"


class Slots:
    """The slots and staging folders of one device."""

    def __init__(self, folder: DeviceFolder) -> None:
        self._slots = folder.slots
        self._staging = folder.staging
        self._disk = folder.disk

    def place(self, artifact: str) -> Path:
        """Where an artifact's files lie."""
        return self._slots / hex_of(artifact)

    def download(self, artifact: str) -> Path:
        """Where an artifact's download lies when it is complete."""
        return self._staging / f"{hex_of(artifact)}.tar"

    def has(self, artifact: str) -> bool:
        """True if the artifact was admitted."""
        return self.place(artifact).is_dir()

    def admit(self, entry: Entry, signature: bytes, keys: Sequence[str]) -> Slot:
        """Unpack the entry's download, verify it, and make it a slot.

        Raises `StepFailed` (bad_bundle, bad_signature, bad_manifest), `Postponed` (disk_full, disk_refused).
        """
        artifact = entry.artifact.digest
        unpacking = self.place(artifact).with_suffix(_UNPACKING)
        try:
            remove_tree(unpacking, self._disk)
            make_folder(self._slots, self._disk)
            try:
                unpack_bundle(self.download(artifact), unpacking, self._disk)
            except Refused as error:
                raise StepFailed("bad_bundle", error.message, error.hint) from error
            slot = _verified(unpacking, entry, signature, keys)
            write_durably(unpacking / SIGNATURE, signature, disk=self._disk)
            # What stands there did not verify, or this would not have been called.
            remove_tree(self.place(artifact), self._disk)
            self._disk.rename(unpacking, self.place(artifact))
            self._disk.sync_folder(self._slots)
            self._disk.unlink(self.download(artifact))
        except OSError as error:
            raise disk_failed(f"cannot unpack the artifact: {error.strerror}", error) from error
        except TryAgain as error:
            raise disk_failed(error.message, error) from error
        return slot

    def again(self, entry: Entry, keys: Sequence[str]) -> Slot | None:
        """The slot of an artifact that was admitted before, verified once more; None if it does not verify."""
        place = self.place(entry.artifact.digest)
        try:
            return _verified(place, entry, read_bounded(place / SIGNATURE, LARGEST), keys)
        except MusterError:
            return None

    def keep(self, artifacts: frozenset[str], staged: frozenset[str]) -> None:
        """Remove all slots but those of `artifacts`, and all downloads but those of `staged`."""
        for folder, kept in ((self._slots, artifacts), (self._staging, staged)):
            names = {hex_of(artifact) for artifact in kept}
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.stem in names and path.suffix != _UNPACKING:
                    continue
                # The next round tries again.
                with contextlib.suppress(OSError):
                    remove_tree(path, self._disk)


def _verified(folder: Path, entry: Entry, signature: bytes, keys: Sequence[str]) -> Slot:
    found = files_of_folder(folder)
    found.pop(SIGNATURE, None)
    try:
        verify_files(found, signature, keys)
    except MusterError as error:
        raise StepFailed("bad_signature", error.message, error.hint) from error
    data = read_bounded(folder / MANIFEST, LIMITS[MANIFEST])
    try:
        manifest = read_manifest(data)
    except Refused as error:
        raise StepFailed("bad_manifest", error.message, error.hint) from error
    listed = {name: file.digest for name, file in manifest.files.items()}
    if {**listed, MANIFEST: digest_of(data)} != found:
        raise StepFailed("bad_manifest", "the manifest does not list the artifact's files")
    _compare(manifest, entry)
    return Slot(entry=entry, manifest=digest_of(data))


def _compare(manifest: Manifest, entry: Entry) -> None:
    """Signed files of another release are not this release."""
    found = (f"{manifest.model}/{manifest.version}", manifest.model_hash, manifest.config_version)
    if found != (entry.release, entry.model_hash, entry.config_version):
        raise StepFailed(
            "bad_manifest", f"the artifact is {found[0]} with model {found[1]}, not the declared {entry.release}"
        )

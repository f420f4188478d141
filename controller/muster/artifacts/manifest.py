"""The manifest inside a bundle: which release this is, what its runtime must load, and the digest of every file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import Digest, Name, Version, digest_of
from muster.kinds.errors import Refused
from muster.kinds.quantity import Decimal
from muster.kinds.release import Artifact, OnnxVersions
from muster.kinds.resource import Declared

LISTED = (CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MODEL)


class Manifest(Declared):
    """`files` names the other four files of the bundle."""

    api_version: Literal["muster/v1"] = "muster/v1"
    kind: Literal["ArtifactManifest"] = "ArtifactManifest"
    model: Name
    version: Version
    onnx: OnnxVersions
    golden_tolerance: Decimal
    files: Annotated[dict[str, Artifact], Field(max_length=len(LISTED))]

    @property
    def model_hash(self) -> Digest:
        """What a device that runs this artifact reports as `model_hash`."""
        return self.files[MODEL].digest

    @property
    def config_version(self) -> Digest:
        """What a device that runs this artifact reports as `config_version`."""
        return self.files[CONFIG].digest

    def dump(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(self.model_dump(mode="json"))


def list_files(files: Mapping[str, bytes]) -> dict[str, Artifact]:
    """The manifest's entry for each of the four files."""
    return {name: Artifact(digest=digest_of(files[name]), size=len(files[name])) for name in LISTED}


def read_manifest(data: bytes) -> Manifest:
    """Parse a manifest. Raises `Refused` unless it is canonical and lists exactly the four files."""
    try:
        manifest = Manifest.model_validate_json(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Refused(f"not a manifest: {error.error_count()} errors", "build the release again") from error
    if manifest.dump() != data or sorted(manifest.files) != sorted(LISTED):
        raise Refused("the manifest is not canonical, or does not list exactly the bundle's files")
    return manifest


def check_bundle(files: Mapping[str, bytes]) -> Manifest:
    """The manifest of a bundle's files, each compared with its digest. Raises `Refused` at the first that differs."""
    manifest = read_manifest(files[MANIFEST])
    for name, listed in manifest.files.items():
        if (listed.digest, listed.size) != (digest_of(files[name]), len(files[name])):
            raise Refused(f"{name} is not the file that the manifest lists ({listed.digest})")
    return manifest

"""Verifying an artifact that lies in a file or a folder: its signature, and the pins of a release file if one is given.

A folder is what `unpack_bundle` made of a tar. Because there is exactly one tar for given files, the artifact's digest
can be computed from the folder as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from muster.artifacts.bundle import CONFIG, LIMITS, MODEL, pack_bundle
from muster.attest.artifact_files import files_of_bundle, files_of_folder
from muster.attest.keyless import NOBODY, Keyless, is_keyless, verify_files_keyless
from muster.attest.model_signature import verify_files
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable
from muster.kinds.release import Release
from muster.source.validate import validate
from muster.source.yaml_events import MAX_BYTES, YamlFault, parse

_LARGEST_TAR = sum(LIMITS.values()) + 64 * 1024


@dataclass(frozen=True)
class Verified:
    """What was verified. `artifact` and `size` are None for a folder that was not compared with a release."""

    files: Mapping[str, str]
    signed_by: str
    artifact: str | None
    size: int | None


def verify_artifact(
    target: Path,
    signature: bytes,
    public_keys_pem: Sequence[str],
    release: Release | None = None,
    keyless: Keyless = NOBODY,
) -> Verified:
    """Verify a tar or a folder. Raises `Refused` with what differs, `Unusable` if something cannot be read."""
    packed = None if target.is_dir() else _read(target, _LARGEST_TAR)
    files = files_of_folder(target) if packed is None else files_of_bundle(packed)
    if is_keyless(signature):
        signed_by = verify_files_keyless(files, signature, keyless)
    else:
        signed_by = verify_files(files, signature, public_keys_pem)
    if packed is None and release is not None:
        packed = _pack(target, files)
    if packed is None:
        return Verified(files, signed_by, None, None)
    digest = digest_of(packed)
    if release is not None:
        _compare_pins(release, digest, len(packed), files)
    return Verified(files, signed_by, digest, len(packed))


def files_of_tar(path: Path) -> dict[str, str]:
    """Digests of the files of a packed artifact. Raises `Unusable`, `Refused` if it is none."""
    return files_of_bundle(_read(path, _LARGEST_TAR))


def digest_of_tar(path: Path) -> str:
    """The digest of a file as it lies there. Raises `Unusable`."""
    return digest_of(_read(path, _LARGEST_TAR))


def read_signature(path: Path) -> bytes:
    """A signature file; whether it is one shows when it is verified. Raises `Unusable`."""
    return _read(path, 2 * 1024 * 1024)


def read_public_key(path: Path) -> str:
    """A public key file; whether it is one shows when it is used. Raises `Unusable`."""
    return _read(path, 64 * 1024).decode("utf-8", "replace")


def read_release(path: Path) -> Release:
    """One release file by itself. Raises `Refused` with the first complaint and its place, `Unusable`."""
    try:
        release = validate(str(path), Release, parse(_read(path, MAX_BYTES)))
    except YamlFault as fault:
        line, column = fault.spot
        raise Refused(f"{path}:{line}:{column}: {fault.message}", fault.hint) from fault
    if isinstance(release, list):
        raise Refused(f"{release[0].place}: {release[0].message}", release[0].hint)
    if not isinstance(release, Release):
        raise Refused(f"{path} declares no release", "give a file below releases/")
    return release


def _compare_pins(release: Release, digest: str, size: int, files: Mapping[str, str]) -> None:
    pins = {
        "artifact digest": (release.spec.artifact.digest, digest),
        "artifact size": (release.spec.artifact.size, size),
        "model hash": (release.spec.stages.quantized, files.get(MODEL)),
        "config version": (release.spec.config_version, files.get(CONFIG)),
    }
    for name, (pinned, found) in pins.items():
        if pinned != found:
            raise Refused(
                f"{release.name} pins {name} {pinned}, this is {found}", "this is the artifact of another release"
            )


def _pack(folder: Path, files: Mapping[str, str]) -> bytes:
    data = {name: _read(folder / name, LIMITS[name]) for name in files if name in LIMITS}
    if {name: digest_of(content) for name, content in data.items()} != dict(files):
        raise Refused(f"{folder} is no unpacked artifact", f"it must hold {', '.join(sorted(LIMITS))} and nothing else")
    return pack_bundle(data)


def _read(path: Path, limit: int) -> bytes:
    try:
        if not path.is_file():
            raise Unusable(f"{path} is no file", "give a file that exists")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}", "give a file that can be read") from error
    if len(data) > limit:
        raise Unusable(f"{path} has more than {limit} bytes")
    return data

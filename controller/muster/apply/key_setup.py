"""Making a controller's keys once, and declaring their public halves in the fleet's repository.

Rules: doing it again changes nothing and completes what was cut off; nothing that exists is replaced; private halves
stay in the state folder. What is written into the work tree (the signing key's public half, the first TUF root) is
for the owner to review and commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from muster.apply.publish import Publisher
from muster.apply.static_files import read_bounded
from muster.apply.tuf_keys import ONLINE, ROLES, TufKeys, key_path, next_key_path
from muster.artifacts.durable import write_durably
from muster.attest.keys import key_id, new_private_key, public_half, read_signing_key
from muster.attest.private_files import create_private, make_private_folder, mode_of
from muster.attest.state_keys import StateKeys
from muster.kinds.errors import Refused, Unusable
from muster.kinds.resource import Metadata
from muster.kinds.signing_key import KeyUse, SigningKey, SigningKeySpec

ROOT_FILE: Final = "policies/trust/root.json"
"""What devices are set up with, in the fleet's repository."""

NAMED: Final = "named"
"""Folder of the keys that were made one by one, beside those of the controller."""

_LARGEST = 1024 * 1024


@dataclass(frozen=True)
class KeySet:
    """The keys of one controller. `made` are the files that this call made, state folder and work tree together.

    `elsewhere`: the private keys that were here when the first root was made, and are not any more.
    """

    keys: StateKeys
    tuf: TufKeys = field(repr=False)
    signing_key: str
    signing_key_id: str
    root: bytes = field(repr=False)
    made: tuple[Path, ...]
    elsewhere: tuple[Path, ...] = ()


@dataclass(frozen=True)
class KeyInfo:
    """What may be shown of one secret: never the secret. `mode` is None for a key that is kept elsewhere."""

    name: str
    use: str
    path: Path
    mode: str | None
    key_id: str | None = None
    public: str | None = None


def initialise_keys(state: Path, repository: Path | None, name: str, now: datetime) -> KeySet:
    """Make what is missing: signing key, tokens, TUF keys and first root under `state`; with a `repository`, also
    `policies/keys/<name>.yaml` and `policies/trust/root.json` in its work tree.

    Once the root is made, the root's and the targets' key may be kept elsewhere; no key is made anew.

    Raises `Refused` if something else stands where a public half belongs, or if an online TUF key was lost after the
    root was made; `Unusable` for a bad name or folder; `TryAgain` if the disk refuses.
    """
    if repository is not None and not repository.is_dir():
        raise Unusable(f"{repository} is no folder", "give the work tree of the fleet's repository")
    keys = StateKeys.of(state)
    missing = TufKeys.missing(keys.folder)
    has_root = (state / "public" / "metadata" / "1.root.json").exists()
    if has_root and (lost := TufKeys.missing(keys.folder, ONLINE)):
        raise Refused(
            f"{lost[0]} is missing, and devices trust it already",
            "restore it from a backup; a new one would not be trusted by the devices",
        )
    made = list(keys.make())
    tuf = TufKeys.load(keys.folder) if has_root else TufKeys.create(keys.folder)
    made += () if has_root else missing
    public = public_half(keys.signing_key())
    declaration = _declaration(name, public)
    root = Publisher(state / "public", tuf).init_root(now)
    if repository is not None:
        made += _declare(repository, f"policies/keys/{name}.yaml", declaration, public)
        made += _declare(repository, ROOT_FILE, root, None)
    return KeySet(keys, tuf, public, key_id(public), root, tuple(made), missing if has_root else ())


def describe_keys(state: Path) -> tuple[KeyInfo, ...]:
    """Every secret of the controller, without the secret. Raises `Unusable` (missing) or `Refused` (open to others)."""
    keys = StateKeys.of(state)
    public = public_half(keys.signing_key())
    tuf = TufKeys.load(keys.folder)
    key_ids = Publisher(state / "public", tuf).key_ids() | tuf.key_ids
    found = [
        KeyInfo("signing", "signs artifacts", keys.signing_path, mode_of(keys.signing_path), key_id(public), public)
    ]
    for role in ROLES:
        path, signer = key_path(keys.folder, role), tuf.signers.get(role)
        mode, half = (mode_of(path), signer.public_key.keyval["public"]) if signer else (None, None)
        found.append(KeyInfo(f"tuf-{role}", f"signs {role}", path, mode, key_ids.get(role), half))
    for role, signer in tuf.following.items():
        path, half = next_key_path(keys.folder, role), signer.public_key
        use = f"is to follow: muster keys rotate {role}"
        found.append(KeyInfo(f"tuf-{role}.next", use, path, mode_of(path), half.keyid, half.keyval["public"]))
    for path in sorted((keys.folder / NAMED).glob("*.pem")):
        half = public_half(read_signing_key(path))
        found.append(KeyInfo(path.stem, "signs what it is declared for", path, mode_of(path), key_id(half), half))
    for path, use in (
        (keys.enrolment_token_path, "lets a device enrol"),
        (keys.operator_token_path, "lets an operator ask"),
        (keys.gateway_token_path, "lets DDI clients call that have no secret of their own"),
    ):
        if path == keys.gateway_token_path and not path.exists():
            continue
        found.append(KeyInfo(path.name, use, path, mode_of(path)))
    # Both are read, so that a token that others can read is refused here too.
    keys.enrolment_token(), keys.operator_token()
    return tuple(found)


def new_named_key(state: Path, name: str, uses: Sequence[KeyUse]) -> tuple[Path, str]:
    """Make a private key that is nobody else's, `keys/named/<name>.pem`; returns its path and the YAML to declare it.

    Raises `Refused` if there is one of that name, `Unusable` for a bad name or no use, `TryAgain` if the disk refuses.
    """
    private = new_private_key()
    declaration = _declaration(name, public_half(private), uses)
    keys = StateKeys.of(state)
    make_private_folder(keys.folder)
    make_private_folder(keys.folder / NAMED)
    path = keys.folder / NAMED / f"{name}.pem"
    if not create_private(path, private):
        raise Refused(f"{path} is there already", "choose another name: a key is not replaced")
    return path, declaration.decode()


def read_named_key(state: Path, name: str) -> bytes:
    """A private key that `new_named_key` made. Raises `Unusable` (none) or `Refused` (open to others)."""
    known = {path.stem: path for path in (StateKeys.of(state).folder / NAMED).glob("*.pem")}
    if name not in known:
        raise Unusable(f"there is no key {name!r}", f"there are: {', '.join(sorted(known)) or 'none'}")
    return read_signing_key(known[name])


def _declaration(name: str, public: str, uses: Sequence[KeyUse] = ("artifacts",)) -> bytes:
    try:
        key = SigningKey(metadata=Metadata(name=name), spec=SigningKeySpec(public_key=public, uses=tuple(uses)))
    except ValidationError as error:
        raise Unusable(
            f"{name!r} is no name for a key", "write lower-case letters, digits and inner hyphens, 63 at most"
        ) from error
    lines = [
        "# yaml-language-server: $schema=../../schemas/signing-key.json",
        f"apiVersion: {key.api_version}",
        f"kind: {key.kind}",
        "metadata:",
        f"  name: {key.metadata.name}",
        "spec:",
        f"  scheme: {key.spec.scheme}",
        "  publicKey: |",
        *(f"    {line}" for line in key.spec.public_key.splitlines()),
        *([] if key.spec.uses == ("artifacts",) else [f"  uses: [{', '.join(key.spec.uses)}]"]),
    ]
    return ("\n".join(lines) + "\n").encode()


def _declare(repository: Path, place: str, data: bytes, public: str | None) -> list[Path]:
    """Write a file into the work tree unless it says the same already; returns what was made."""
    path = repository / place
    if not path.resolve().is_relative_to(repository.resolve()):
        raise Refused(f"{path} leads out of the repository", "remove the symbolic link")
    found = read_bounded(path, _LARGEST)
    if found is None:
        write_durably(path, data)
        return [path]
    if found == data or (public is not None and _holds(found, public)):
        return []
    raise Refused(
        f"{path} is there already and says something else",
        "choose another --name for the key of another controller"
        if public is not None
        else "devices trust that root; use the state folder that it belongs to",
    )


def _holds(found: bytes, public: str) -> bool:
    """True if the file holds this key, whatever its owner wrote around it."""
    lines = [line.strip() for line in found.decode("utf-8", "replace").splitlines()]
    wanted = public.splitlines()
    return any(lines[start : start + len(wanted)] == wanted for start in range(len(lines)))

"""Replacing TUF keys: `muster keys rotate`.

    make the keys that follow → sign what is published with old and new → name the new ones in the next root
    → put them in the place of the old

Rules: the next root is what counts, and is renamed into place; a rotation that was cut off before or after it is
completed by the next call, which replaces nothing else; until then both keys sign, so that the controller can run. The
old root key signs the next root, and so does the new one: devices follow from root to root, whichever they know. The
private half of a replaced key is kept in `keys/retired/`, for as long as backups of the published files need it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from securesystemslib.signer import CryptoSigner

from muster.apply.key_watch import KeyWatch, nobody
from muster.apply.publish import Publisher
from muster.apply.state_folder import hold_state
from muster.apply.tuf_keys import MAY_BE_ELSEWHERE, ROLES, TufKeys, key_path, load_signer, next_key_path
from muster.artifacts.durable import sync_folder
from muster.attest.private_files import create_private, make_private_folder
from muster.attest.state_keys import StateKeys
from muster.kinds.errors import Refused, TryAgain, Unusable

RETIRED: Final = "retired"
"""Folder of the keys that were replaced, beside those in use."""


@dataclass(frozen=True)
class Wish:
    """What to rotate. `lost`: roles whose old key is gone. `since`: only if the newest root has this version.

    `elsewhere`: a folder, on a medium of its own, where the root's and the targets' keys may lie; they stay there.
    """

    roles: tuple[str, ...]
    lost: tuple[str, ...] = ()
    elsewhere: Path | None = None
    since: int | None = None


@dataclass(frozen=True)
class Replaced:
    """One key: its ids, where the new one lies, and where the old one was put; None where it is not known or lost."""

    role: str
    old: str | None
    new: str
    path: Path
    retired: Path | None


@dataclass(frozen=True)
class Rotation:
    """`root`: version of the newest root. `completed`: these are the keys of a rotation that was cut off before."""

    root: int
    replaced: tuple[Replaced, ...]
    completed: bool = False


def rotate_keys(state: Path, wish: Wish, now: datetime, watch: KeyWatch = nobody) -> Rotation:
    """Replace the keys of these roles, or complete what was cut off.

    Raises `Refused` (another controller runs, no root yet, a key is neither here nor said to be lost, something
    published is damaged), `Unusable` (no state folder, a bad key), `TryAgain` if the disk refuses.
    """
    with hold_state(state):
        places = _Places(StateKeys.of(state).folder, wish.elsewhere)
        reader = Publisher(state / "public", TufKeys())
        version = reader.root_version()
        waiting = {role: places.following(role) for role in ROLES if places.has(role, next_key_path)}
        if not waiting and wish.since not in (None, version):
            return Rotation(version, ())
        if waiting and waiting.items() <= reader.key_ids().items():
            roles = tuple(waiting)
        else:
            roles = tuple(role for role in ROLES if role in {*wish.roles, *waiting})
            _refuse_missing(places, roles, wish.lost)
            _make_following(places, roles, version)
        keys = places.load()
        following = {role: signer.public_key for role, signer in keys.following.items()}
        version = Publisher(state / "public", keys, watch).rotate(following, now)
        return Rotation(version, tuple(_settle(places, role, keys) for role in roles), completed=bool(waiting))


class _Places:
    """Where the keys lie: the controller's folder, and the one elsewhere for those that may be there."""

    def __init__(self, folder: Path, elsewhere: Path | None) -> None:
        if elsewhere is not None and not elsewhere.is_dir():
            raise Unusable(f"{elsewhere} is no folder", "give the one that holds the keys: is its medium attached?")
        self._folder = folder
        self._elsewhere = elsewhere

    def has(self, role: str, place: Callable[[Path, str], Path]) -> bool:
        return self.path(role, place).exists()

    def path(self, role: str, place: Callable[[Path, str], Path]) -> Path:
        """A key of this role: where it is; if nowhere, with the controller, which has to go on without a person."""
        if self._elsewhere is None or role not in MAY_BE_ELSEWHERE:
            return place(self._folder, role)
        here, there = (
            any(found(folder, role).exists() for found in (key_path, next_key_path))
            for folder in (self._folder, self._elsewhere)
        )
        return place(self._elsewhere if there and not here else self._folder, role)

    def following(self, role: str) -> str:
        """Id of the key that is to follow."""
        key_id: str = load_signer(self.path(role, next_key_path)).public_key.keyid
        return key_id

    def load(self) -> TufKeys:
        """Every key that is there, without asking for one that is lost."""
        signers, following = (
            {role: load_signer(self.path(role, place)) for role in ROLES if self.has(role, place)}
            for place in (key_path, next_key_path)
        )
        return TufKeys(signers, following)


def _refuse_missing(places: _Places, roles: tuple[str, ...], lost: tuple[str, ...]) -> None:
    if not places.has("root", key_path):
        raise Refused(
            "the root's key is not here, and nothing else can name another key",
            "bring it back, or name the folder that it is in: --elsewhere FOLDER",
        )
    for role in roles:
        if not places.has(role, key_path) and not places.has(role, next_key_path) and role not in lost:
            raise Refused(
                f"the {role} key is not here, and was not said to be lost",
                f"bring it back, or name its folder: --elsewhere FOLDER; if it is gone for good: --lost {role}",
            )


def _make_following(places: _Places, roles: tuple[str, ...], version: int) -> None:
    if not version:
        raise Refused("there is no root yet whose keys could be replaced", "make one: muster keys init")
    for role in roles:
        create_private(places.path(role, next_key_path), CryptoSigner.generate_ed25519().private_bytes)


def _settle(places: _Places, role: str, keys: TufKeys) -> Replaced:
    """Put the key that follows in the place of the old one, in one step; the old one is kept."""
    path, following = places.path(role, key_path), places.path(role, next_key_path)
    old = keys.key_ids.get(role)
    retired = path.parent / RETIRED / f"tuf-{role}-{old[:12]}.pem" if old else None
    try:
        if retired is not None:
            make_private_folder(retired.parent)
            with contextlib.suppress(FileExistsError):
                os.link(path, retired)
            sync_folder(retired.parent)
        following.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise TryAgain(f"cannot replace {path}: {error.strerror}", "correct it, and give the same command") from error
    return Replaced(role, old, keys.following[role].public_key.keyid, path, retired)

"""The four keys that sign desired state, one per TUF role.

| key         | signs                          | what a thief can do with it                        | needed           |
|-------------|--------------------------------|----------------------------------------------------|------------------|
| `root`      | which keys count               | everything                                         | twice a year     |
| `targets`   | what each device should run,   | with both online keys: have devices run anything;  | at every publish |
|             | whose artifacts it accepts     | without them, nothing                              |                  |
| `snapshot`  | which metadata belong together | nothing without `timestamp`                        | every few days   |
| `timestamp` | that this is the newest        | hold devices at what was published before          | twice a day      |

Ed25519, in the controller's key folder as `tuf-<role>.pem`, mode 0600. `muster keys init` makes all four there: whoever
takes that folder then takes them all. A stolen online key (`snapshot`, `timestamp`) cannot widen a rollout where the
others lie elsewhere, so two of them may be moved away once the first root is made:

- `root`: publishing and refreshing go on without it. It is needed to sign the root again, which holds for a year and is
  renewed after half of that: bring it back for one `muster run --once`. While it is due, the controller says so.
- `targets`: refreshing goes on without it, for 90 days at most, since its own signature ends. Nothing is published
  without it, a halt included: the controller cannot stop a release by itself while this key is away.

Reading what is published needs no private key: the public halves are those of the roots on disk. Where a private key
is here, it must be the one that the root names.

A key is replaced by `muster.apply.key_rotation`. Meanwhile the one that follows lies beside it as
`tuf-<role>.next.pem`, and both sign: devices believe what is signed whichever of the two their root names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from muster.attest.private_files import create_private, make_private_folder, read_private
from muster.kinds.errors import Unusable

ROLES: Final = ("root", "targets", "snapshot", "timestamp")
MAY_BE_ELSEWHERE: Final = ("root", "targets")
ONLINE: Final = ("snapshot", "timestamp")


@dataclass(frozen=True)
class TufKeys:
    """The signers that are here, by role; none is needed for reading. `following`: those of a rotation under way."""

    signers: dict[str, CryptoSigner] = field(repr=False, default_factory=dict)
    following: dict[str, CryptoSigner] = field(repr=False, default_factory=dict)

    @classmethod
    def create(cls, folder: Path) -> TufKeys:
        """Make what is missing and load all. Raises as `load` does, and `TryAgain` if the disk refuses."""
        make_private_folder(folder)
        for path in cls.missing(folder):
            create_private(path, CryptoSigner.generate_ed25519().private_bytes)
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> TufKeys:
        """Load the online keys, and of the others those that are there.

        Raises `Unusable` (an online key is missing, no Ed25519 key) or `Refused` (open to others).
        """
        here = [role for role in ROLES if role in ONLINE or key_path(folder, role).exists()]
        following = [role for role in here if next_key_path(folder, role).exists()]
        return cls(
            {role: load_signer(key_path(folder, role)) for role in here},
            {role: load_signer(next_key_path(folder, role)) for role in following},
        )

    @classmethod
    def missing(cls, folder: Path, roles: Sequence[str] = ROLES) -> tuple[Path, ...]:
        """Paths of the keys (of these roles) that are not there."""
        return tuple(path for role in roles if not (path := key_path(folder, role)).exists())

    def signer(self, role: str) -> CryptoSigner:
        """What signs for a role. Raises `Unusable` if that key is not here."""
        if role not in self.signers:
            raise Unusable(
                f"nothing can be signed for {role}: tuf-{role}.pem is not in the key folder",
                "bring it back from where it is kept, with mode 0600",
            )
        return self.signers[role]

    def signers_of(self, role: str) -> tuple[CryptoSigner, ...]:
        """All that sign for a role: its key, and the one that follows. Raises `Unusable` if neither is here."""
        found = tuple(keys[role] for keys in (self.signers, self.following) if role in keys)
        return found or (self.signer(role),)

    @property
    def key_ids(self) -> dict[str, str]:
        """{role: TUF key id} of the keys that are here."""
        return {role: signer.public_key.keyid for role, signer in self.signers.items()}


def key_path(folder: Path, role: str) -> Path:
    """Where the private key of a role lies."""
    return folder / f"tuf-{role}.pem"


def next_key_path(folder: Path, role: str) -> Path:
    """Where the private key lies that is to follow a role's, while they are rotated."""
    return folder / f"tuf-{role}.next.pem"


def load_signer(path: Path) -> CryptoSigner:
    """One private key. Raises `Unusable` (missing, no Ed25519 key) or `Refused` (open to others)."""
    hint = "restore it from a backup; a new one would not be trusted by the devices"
    try:
        key = load_pem_private_key(read_private(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is dropped: a parser's message may quote what it read.
        raise Unusable(f"{path} is not a private key in PEM without a passphrase", hint) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Unusable(f"{path} is not an Ed25519 key", hint)
    return CryptoSigner(key)

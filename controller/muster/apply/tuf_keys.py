"""The four keys that sign desired state: one per TUF role, so that a stolen online key cannot widen a rollout.

| key         | signs                          | if it is stolen                                         |
|-------------|--------------------------------|---------------------------------------------------------|
| `root`      | which keys count               | everything; keep a copy of it away from the controller  |
| `targets`   | what each device should run    | a rollout can be widened, to signed artifacts only      |
| `snapshot`  | which metadata belong together | nothing without `timestamp`                             |
| `timestamp` | that this is the newest        | devices can be held at what was published before        |

Ed25519, in the controller's key folder as `tuf-<role>.pem`, mode 0600.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class TufKeys:
    """A signer per role."""

    signers: dict[str, CryptoSigner] = field(repr=False)

    @classmethod
    def create(cls, folder: Path) -> TufKeys:
        """Make what is missing and load all. Raises as `load` does, and `TryAgain` if the disk refuses."""
        make_private_folder(folder)
        for path in cls.missing(folder):
            create_private(path, CryptoSigner.generate_ed25519().private_bytes)
        return cls.load(folder)

    @classmethod
    def load(cls, folder: Path) -> TufKeys:
        """Load all four. Raises `Unusable` (missing, no Ed25519 key) or `Refused` (open to others)."""
        return cls({role: _load(key_path(folder, role)) for role in ROLES})

    @classmethod
    def missing(cls, folder: Path) -> tuple[Path, ...]:
        """Paths of the keys that are not there."""
        return tuple(path for role in ROLES if not (path := key_path(folder, role)).exists())

    @property
    def key_ids(self) -> dict[str, str]:
        """{role: TUF key id}"""
        return {role: signer.public_key.keyid for role, signer in self.signers.items()}


def key_path(folder: Path, role: str) -> Path:
    """Where the private key of a role lies."""
    return folder / f"tuf-{role}.pem"


def _load(path: Path) -> CryptoSigner:
    hint = "restore it from a backup; a new one would not be trusted by the devices"
    try:
        key = load_pem_private_key(read_private(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The cause is dropped: a parser's message may quote what it read.
        raise Unusable(f"{path} is not a private key in PEM without a passphrase", hint) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Unusable(f"{path} is not an Ed25519 key", hint)
    return CryptoSigner(key)

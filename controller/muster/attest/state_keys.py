"""Where the controller's secrets lie, and how they are read: `<state>/keys/`, mode 0700, every file 0600."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from muster.attest.keys import new_private_key, read_signing_key
from muster.attest.private_files import create_private, make_private_folder, read_private
from muster.kinds.errors import Unusable

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_TOKEN_BYTES = 32


@dataclass(frozen=True)
class StateKeys:
    """Paths in the key folder of one state folder; nothing is read before a method is called."""

    folder: Path

    @classmethod
    def of(cls, state: Path) -> StateKeys:
        """The keys of a state folder."""
        return cls(state / "keys")

    @property
    def signing_path(self) -> Path:
        """The private half of the key that signs artifacts."""
        return self.folder / "signing.pem"

    @property
    def enrolment_token_path(self) -> Path:
        """What a device shows once, to be given its own secret."""
        return self.folder / "enrolment-token"

    @property
    def operator_token_path(self) -> Path:
        """What a person's program shows to the controller."""
        return self.folder / "operator-token"

    @property
    def gateway_token_path(self) -> Path:
        """What a DDI client shows that has no secret of its own. Not made unless it is asked for."""
        return self.folder / "gateway-token"

    def make_gateway_token(self) -> bool:
        """Make the gateway token; False if there is one. Raises as `make` does."""
        make_private_folder(self.folder)
        return create_private(self.gateway_token_path, _new_token())

    def make(self) -> tuple[Path, ...]:
        """Make what is missing of signing key and tokens; returns what was made.

        Raises `Refused` if the folder is open to others, `TryAgain` if the disk refuses.
        """
        make_private_folder(self.folder)
        makers = (
            (self.signing_path, new_private_key),
            (self.enrolment_token_path, _new_token),
            (self.operator_token_path, _new_token),
        )
        return tuple(path for path, make in makers if not path.exists() and create_private(path, make()))

    def signing_key(self) -> bytes:
        """The private signing key in PEM. Raises `Unusable` or `Refused` (open to others)."""
        return read_signing_key(self.signing_path)

    def enrolment_token(self) -> str:
        """32 random bytes in base64url. Raises `Unusable` or `Refused` (open to others)."""
        return _read_token(self.enrolment_token_path)

    def operator_token(self) -> str:
        """32 random bytes in base64url. Raises `Unusable` or `Refused` (open to others)."""
        return _read_token(self.operator_token_path)


def class_token(enrolment_token: str, device_class: str, generation: int) -> str:
    """The enrolment token of one device class, which follows from the fleet's and opens no other class."""
    said = f"class-token/v1|{device_class}|{generation}".encode()
    digest = hmac.new(enrolment_token.encode(), said, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _new_token() -> bytes:
    return secrets.token_urlsafe(_TOKEN_BYTES).encode() + b"\n"


def _read_token(path: Path) -> str:
    text = read_private(path).decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(text):
        raise Unusable(
            f"{path} holds no token",
            f"remove it and run: muster keys init (it must hold {_TOKEN_BYTES} bytes in base64url)",
        )
    return text

"""Signers: whose commit signatures are believed, and by which keys. Made from the base of a change, never its head.

An OpenPGP key is more than its fingerprint, so it needs a file: any `policies/keys/<name>.asc` of the base that holds
the certificate, armored. It counts only if its fingerprint is declared by a person. Whom gitsign certificates are
believed from stands in `policies/keys/sigstore.json`, a Sigstore trusted root.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from muster.kinds.owners import Owners
from muster.kinds.pull_request import CommitSignature

Scheme = Literal["ssh", "gpg", "gitsign"]

TRUSTED_ROOT: Final = "policies/keys/sigstore.json"
LARGEST_FILE: Final = 256 * 1024
MOST_FILES: Final = 500


@dataclass(frozen=True)
class Signers:
    """Logins by SSH key blob, by OpenPGP fingerprint (upper case) and by gitsign identity with issuer."""

    ssh: Mapping[bytes, frozenset[str]] = field(default_factory=dict)
    gpg: Mapping[str, frozenset[str]] = field(default_factory=dict)
    gitsign: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    certificates: tuple[bytes, ...] = ()
    """Files with armored OpenPGP certificates."""
    trusted_root: bytes | None = None


def is_key_file(path: str) -> bool:
    """True for a file of the base that `signers_of` wants to see."""
    folder, _, name = path.rpartition("/")
    return path == TRUSTED_ROOT or (folder == "policies/keys" and name.endswith(".asc"))


def signers_of(owners: Owners | None, files: Mapping[str, bytes]) -> Signers:
    """What the base declares about commit signatures. `files` are its key files by path; larger ones do not count."""
    ssh: dict[bytes, frozenset[str]] = {}
    gpg: dict[str, frozenset[str]] = {}
    gitsign: dict[tuple[str, str], frozenset[str]] = {}
    for person in owners.spec.people if owners else ():
        login = frozenset([person.login])
        for line in person.ssh_keys:
            blob = key_blob(line)
            if blob is not None:
                ssh[blob] = ssh.get(blob, frozenset()) | login
        for fingerprint in person.gpg_keys:
            gpg[fingerprint] = gpg.get(fingerprint, frozenset()) | login
        for known in person.gitsign:
            named = (known.identity, known.issuer)
            gitsign[named] = gitsign.get(named, frozenset()) | login
    small = {path: data for path, data in sorted(files.items())[:MOST_FILES] if len(data) <= LARGEST_FILE}
    certificates = tuple(data for path, data in small.items() if path != TRUSTED_ROOT and is_key_file(path))
    return Signers(ssh, gpg, gitsign, certificates, small.get(TRUSTED_ROOT))


def key_blob(line: str) -> bytes | None:
    """The binary form of an SSH public key line; None if it is none."""
    _, _, encoded = line.partition(" ")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def signed_by(logins: frozenset[str], scheme: Scheme, key: str) -> CommitSignature:
    """A good signature, if exactly one person claims the key that made it."""
    if len(logins) == 1:
        return CommitSignature("good", scheme, next(iter(logins)))
    if not logins:
        return CommitSignature("unknown-key", scheme, reason=f"nobody in the base's owners declares {key}")
    names = ", ".join(sorted(logins))
    return CommitSignature("unknown-key", scheme, reason=f"{names} all declare {key}: nobody can tell who signed")

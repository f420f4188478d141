"""The trust root of whoever verifies a package: public keys that came to them by another way.

A file with a public key (PEM, or a SigningKey's YAML) is somebody who vouches for the package as a whole, and so for
the keys that the fleet declares in it. A folder of such files is the fleet's own keys, such as a clone's
`policies/keys/`: then every signature that is believed must be by one of them, and a key that only the package declares
is worth nothing. Beside that folder, `../identities/` holds the fleet's Sigstore identities, and in it `sigstore.json`
the trusted root that vouches for their certificates.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from muster.attest.keyless import NOBODY, Keyless
from muster.attest.keys import key_id, public_key, public_pem
from muster.attest.signers import TRUSTED_ROOT
from muster.kinds.errors import Refused, Unusable
from muster.kinds.signing_key import KeyUse, SigningKey
from muster.kinds.trusted_identity import TrustedIdentity
from muster.source.validate import validate
from muster.source.work_tree import read_file
from muster.source.yaml_events import YamlFault, parse

MOST_FILES: Final = 500
LARGEST_FILE: Final = 64 * 1024
LARGEST_SIGSTORE: Final = 256 * 1024


@dataclass(frozen=True)
class TrustRoot:
    """`keys` {key id: public PEM} that may sign evidence; `whole` if no other key counts for anything in the package.

    `approvals` and `artifacts` are ids of keys that may sign those. `keyless`: the identities that may sign evidence,
    with the trusted root's file.
    """

    keys: Mapping[str, str]
    whole: bool
    approvals: frozenset[str] = frozenset()
    artifacts: frozenset[str] = frozenset()
    keyless: Keyless = NOBODY


def read_trust_root(path: Path) -> TrustRoot:
    """The trust root in a file or a folder. Raises `Unusable`, `Refused` if it holds no key that may sign evidence."""
    if path.is_dir():
        names = sorted(entry.name for entry in path.iterdir() if entry.suffix in (".pem", ".pub", ".yaml", ".yml"))
        if len(names) > MOST_FILES:
            raise Refused(f"{path} holds more than {MOST_FILES} keys", "name a folder of keys only")
        found = [_key(path, name) for name in names]
    else:
        found = [_key(path.parent, path.name)]
    keys = {key_id(pem): pem for pem, uses in found if "evidence" in uses}
    keyless = _keyless(path) if path.is_dir() else NOBODY
    if not keys and not keyless.identities:
        raise Refused(f"{path} holds no key that may sign evidence", "give a public key in PEM, or policies/keys/")
    approvals, artifacts = (
        frozenset(key_id(pem) for pem, uses in found if use in uses) for use in ("approvals", "artifacts")
    )
    return TrustRoot(keys, path.is_dir(), approvals, artifacts, keyless)


def _keyless(folder: Path) -> Keyless:
    """Identities beside a folder of keys, and the trusted root in it."""
    beside, pinned = folder.resolve().parent / "identities", folder / Path(TRUSTED_ROOT).name
    if not beside.is_dir() or not pinned.is_file():
        return NOBODY
    names = sorted(entry.name for entry in beside.iterdir() if entry.suffix in (".yaml", ".yml"))
    if len(names) > MOST_FILES:
        raise Refused(f"{beside} holds more than {MOST_FILES} identities", "name a folder of a fleet")
    declared = [_declared(beside, name, TrustedIdentity) for name in names]
    trusted = [one for one in declared if isinstance(one, TrustedIdentity) and "evidence" in one.spec.uses]
    _, sigstore = read_file(folder, pinned.name, LARGEST_SIGSTORE)
    return Keyless(trusted, sigstore)


def _key(folder: Path, name: str) -> tuple[str, Collection[str]]:
    """The public PEM in a file, and what it may sign: a key that nobody declared, everything."""
    if not name.endswith((".yaml", ".yml")):
        return public_pem(public_key(_bounded(folder, name).decode("utf-8", "replace"))), get_args(KeyUse)
    declared = _declared(folder, name, SigningKey)
    if not isinstance(declared, SigningKey):
        raise Unusable(f"{folder / name} declares no signing key", "give a folder of SigningKey files")
    return public_pem(public_key(declared.spec.public_key)), declared.spec.uses


def _declared(folder: Path, name: str, kind: type[SigningKey | TrustedIdentity]) -> object:
    """What a file declares, or complaints."""
    try:
        return validate(name, kind, parse(_bounded(folder, name)))
    except YamlFault as fault:
        raise Unusable(f"{folder / name}: {fault.message}", fault.hint) from fault


def _bounded(folder: Path, name: str) -> bytes:
    _, data = read_file(folder, name, LARGEST_FILE)
    if len(data) > LARGEST_FILE:
        raise Unusable(f"{folder / name} has more than {LARGEST_FILE} bytes", "give a public key")
    return data

"""Who signs, on every verb that signs for people: a key in a file, which is the default, or whom a token names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from muster.attest.keyless import Keyless
    from muster.attest.keyless_signing import KeylessSigner
    from muster.kinds.signing_key import SigningKey

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False, path_type=Path)

signer_options = (
    click.option(
        "--trust-config", type=_FILE, help="With --keyless: a private Sigstore instance, by its client trust config."
    ),
    click.option(
        "--identity-token",
        type=_FILE,
        help="With --keyless: a file with the identity token; in GitHub Actions the job is asked.",
    ),
    click.option("--keyless", is_flag=True, help="Sign by an identity token with Sigstore, instead of --key."),
    click.option("--key", type=_FILE, help="The private key that signs, in PEM."),
)


def signing(command: _Command) -> _Command:
    """Add the options that say who signs."""
    for option in signer_options:
        command = option(command)
    return command


def read_signer(given: dict[str, Any]) -> bytes | KeylessSigner:
    """The private key, or the keyless signer, that the options name. Raises `Unusable`, `Refused`."""
    key, keyless = given["key"], given["keyless"]
    token, config = given["identity_token"], given["trust_config"]
    if keyless == (key is not None):
        raise Unusable("nothing says who signs", "give either --key FILE or --keyless")
    if not keyless:
        if token is not None or config is not None:
            raise Unusable(
                "--identity-token and --trust-config say nothing with --key", "give --keyless, or only --key"
            )
        from muster.attest.keys import read_signing_key

        return read_signing_key(key)
    from muster.attest.keyless_signing import KeylessSigner

    signer = KeylessSigner(token, config)
    signer.check()
    return signer


def tag_of(signer: bytes | KeylessSigner) -> str:
    """Eight hexadecimal digits that tell signers apart in names of files."""
    if not isinstance(signer, bytes):
        return signer.tag
    from muster.attest.keys import key_id, public_half
    from muster.kinds.digest import hex_of

    return hex_of(key_id(public_half(signer)))[:8]


def trusted_signers(
    key_files: tuple[Path, ...], repository: str, revision: str
) -> tuple[tuple[SigningKey, ...], Keyless]:
    """Who is trusted for evidence: these public keys, or without any whom a revision of a repository trusts."""
    from muster.attest.keyless import NOBODY
    from muster.attest.keys import public_key, public_pem
    from muster.attest.verification import read_public_key
    from muster.kinds.resource import Metadata
    from muster.kinds.signing_key import SigningKey, SigningKeySpec

    if not key_files:
        from muster.cli.repository import load_fleet
        from muster.review.keyless import keyless_of
        from muster.source.git import Repository

        found, fleet = Repository(Path(repository)), load_fleet(repository, revision)
        return fleet.keys_for("evidence"), keyless_of(found, found.resolve(revision), fleet, "evidence")
    pems = [public_pem(public_key(read_public_key(path))) for path in key_files]
    keys = tuple(
        SigningKey(metadata=Metadata(name=f"key-{number}"), spec=SigningKeySpec(public_key=pem, uses=("evidence",)))
        for number, pem in enumerate(pems, 1)
    )
    return keys, NOBODY

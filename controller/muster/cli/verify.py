"""`muster verify`: is this artifact what its signature and its release say?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, output_option, state_option
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.attest.keyless import Keyless
    from muster.attest.verification import Verified

_RELEASE = re.compile(r"[a-z0-9-]{1,63}/[0-9]+\.[0-9]+\.[0-9]+")


@click.command()
@click.argument("target", metavar="TAR|FOLDER|MODEL/VERSION")
@click.option("--signature", type=click.Path(dir_okay=False), help="The signature file; needed for a tar or a folder.")
@click.option(
    "--key",
    "key_files",
    type=click.Path(dir_okay=False),
    multiple=True,
    help="A public key in PEM to trust; may be repeated. Without it: what this controller published as trusted.",
)
@click.option(
    "--repository",
    type=click.Path(file_okay=False),
    help="For a keyless signature: the repository whose identities with use `artifacts` are trusted.",
)
@click.option("--revision", default="HEAD", show_default=True, help="The commit whose identities are trusted.")
@click.option(
    "--release", "release_file", type=click.Path(dir_okay=False), help="A release file whose pins must hold too."
)
@state_option
@output_option
def verify(target: str, output: str, **options: Any) -> int:
    """Verify an artifact's digest and signature.

    TARGET is a packed or unpacked artifact, or a release that this controller has published, as MODEL/VERSION.
    Exit 0: it holds. Exit 1: it does not, and why. Exit 2: it could not be told.
    """
    try:
        verified = _verify(target, **options)
    except Refused as error:
        if output == "text":
            raise
        emit({"target": target, "verified": False, "reason": error.message, "hint": error.hint}, output, lambda: None)
        return 1
    value = {
        "target": target,
        "verified": True,
        "signedBy": verified.signed_by,
        "artifact": verified.artifact,
        "size": verified.size,
        "files": dict(sorted(verified.files.items())),
    }
    emit(value, output, lambda: _print(target, verified))
    return 0


def _verify(
    target: str, signature: str | None, key_files: tuple[str, ...], release_file: str | None, **options: str | None
) -> Verified:
    from muster.attest.verification import read_public_key, read_release, read_signature, verify_artifact

    release = read_release(Path(release_file)) if release_file else None
    keys = [read_public_key(Path(path)) for path in key_files]
    path = Path(target)
    if not path.exists() and _RELEASE.fullmatch(target):
        path, signed, keys = _published(target, Path(options["state"] or ""), keys)
    elif signature is None or not (keys or options["repository"]):
        raise Unusable(f"nothing says who signed {target}", "give --signature FILE, and --key PEM or --repository")
    else:
        signed = read_signature(Path(signature))
    return verify_artifact(path, signed, keys, release, _keyless(options["repository"], options["revision"]))


def _keyless(repository: str | None, revision: str | None) -> Keyless:
    """Whom a revision trusts for artifacts; nobody, if no repository is named."""
    from muster.attest.keyless import NOBODY

    if repository is None:
        return NOBODY
    from muster.cli.repository import load_fleet
    from muster.review.keyless import keyless_of
    from muster.source.git import Repository

    found, fleet = Repository(Path(repository)), load_fleet(repository, revision or "HEAD")
    return keyless_of(found, found.resolve(revision or "HEAD"), fleet, "artifacts")


def _published(release: str, state: Path, keys: list[str]) -> tuple[Path, bytes, list[str]]:
    """Tar, signature and trusted keys of a published release, found by the digest that its document pins."""
    from muster.apply.publish import Publisher
    from muster.apply.tuf_keys import TufKeys
    from muster.attest.verification import digest_of_tar

    if not (state / "public").is_dir():
        raise Unusable(f"no controller published anything in {state}", "name its state folder with --state")
    # Public keys are enough to read: those of the published root.
    publisher = Publisher(state / "public", TufKeys())
    documents = publisher.published().documents.values()
    entry = next((entry for document in documents for entry in document.entries if entry.release == release), None)
    if entry is None:
        raise Refused(f"{release} is not published", "see what is: muster get releases")
    artifact = publisher.artifact(entry.artifact.digest)
    found = digest_of_tar(artifact.path)
    if found != artifact.digest:
        raise Refused(f"{artifact.path} is altered: it has {found}, not {artifact.digest}", "publish it again")
    return artifact.path, artifact.signature, keys or list(publisher.signing_keys())


def _print(target: str, verified: Verified) -> None:
    click.echo(f"{target}: verified")
    if verified.artifact:
        click.echo(f"  artifact:  {verified.artifact} ({verified.size} bytes)")
    click.echo(f"  signed by: {verified.signed_by}")
    for name, digest in sorted(verified.files.items()):
        click.echo(f"  file:      {digest} {name}")

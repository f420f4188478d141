"""`muster sign`: sign an artifact's files, for people who verify it without a controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.keyless import read_signer, signing
from muster.cli.output import emit, output_option
from muster.kinds.errors import Unusable


@click.command()
@click.argument("target", metavar="TAR|FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--signature",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write the signature to.",
)
@signing
@output_option
def sign(target: Path, signature: Path, output: str, **given: Any) -> int:
    """Sign an artifact's files in the OpenSSF Model Signing format, with a key or keyless.

    A device asks for the signature of its controller's key, which a controller makes by itself: this one is for
    `muster verify`, and for whatever else reads the format.
    """
    from muster.artifacts.durable import write_durably
    from muster.attest.artifact_files import files_of_folder
    from muster.attest.keyless_signing import KeylessSigner
    from muster.attest.model_signature import sign_files
    from muster.attest.verification import files_of_tar

    if signature.resolve().is_relative_to(target.resolve()):
        raise Unusable(f"{signature} would be a file of the artifact itself", "write the signature beside it")
    signer = read_signer(given)
    files = files_of_folder(target) if target.is_dir() else files_of_tar(target)
    write_durably(signature, sign_files(files, signer))
    who = signer.signed_by[-1] if isinstance(signer, KeylessSigner) else None
    value = {
        "signature": str(signature),
        "files": dict(sorted(files.items())),
        "identity": who[0] if who else None,
        "issuer": who[1] if who else None,
    }

    def text() -> None:
        click.echo(f"wrote {signature}" + (f": signed by {who[0]} of {who[1]}" if who else ""))

    emit(value, output, text)
    return 0

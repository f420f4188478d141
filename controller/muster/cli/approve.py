"""`muster approve`: approve a commit with your own key, without any forge."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from muster.cli.output import emit, output_option


@click.command()
@click.argument("revision", default="HEAD")
@click.option(
    "--key",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Your private approval key, in PEM.",
)
@click.option("--of", default="", help="Approve one thing only: checklist/ITEM or freeze/NAME. Default: the change.")
@click.option("--base", default="main", show_default=True, help="The revision whose owners and keys count.")
@click.option("--repository", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default=True)
@output_option
def approve(revision: str, key: Path, of: str, base: str, repository: Path, output: str) -> None:
    """Sign an approval of exactly the commit that REVISION names, into refs/notes/muster/approvals.

    It dies with the next commit. Refused if the base does not know the key as somebody's approval key: it would not
    count. Approvals of two people that were made apart are joined by: git notes --ref=muster/approvals merge -s
    cat_sort_uniq.
    """
    from muster.attest.keys import read_signing_key
    from muster.forge.git.approvals import approve as write_approval
    from muster.forge.git.approvals import signer_of
    from muster.forge.git.notes import APPROVALS
    from muster.kinds.pull_request import Approval
    from muster.source.git import Repository
    from muster.source.load import Loader

    source = Repository(repository)
    commit = source.resolve(revision)
    fleet = Loader().commit(source, source.resolve(base)).fleet_or_refuse(base)
    private = read_signing_key(key)
    login = signer_of(private, fleet.owners, fleet.signing_keys)
    at = datetime.now(UTC)
    write_approval(source, Approval(login, commit, at, of), private)

    def text() -> None:
        click.echo(f"{login} approves {of or 'the change'} at {commit[:12]}")
        click.echo(f"next: git push origin {APPROVALS}")

    emit({"by": login, "commit": commit, "of": of, "at": at.isoformat(timespec="seconds")}, output, text)

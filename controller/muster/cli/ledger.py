"""`muster ledger`: what the ledger holds, and whether it is what was entered."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muster.cli.output import emit, output_option, state_option
from muster.cli.repository import repository_option
from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from muster.attest.ledger.chain import Verified

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHOWN = 50


def where_option(default: str) -> Callable[[_Command], _Command]:
    """Add `--from`, `--repository`, `--revision`, `--ref` and `--state` to a verb that reads a whole ledger."""

    def add(command: _Command) -> _Command:
        command = click.option(
            "--ref", default="refs/muster/ledger", show_default=True, help="Where the ledger lies in the clone."
        )(command)
        source = click.option(
            "--from",
            "source",
            type=click.Choice(["clone", "state", *(["server"] if default == "server" else [])]),
            default=default,
            show_default=True,
            help="What was pushed to git, or what the controller itself holds.",
        )
        return source(repository_option(state_option(command)))

    return add


def read_ledger(options: dict[str, Any], keys: tuple[str, ...] = (), known: tuple[str, ...] = ()) -> Verified:
    """The ledger that the options of `where_option` name, with all that is wrong with it."""
    from datetime import UTC, datetime

    from muster.review.ledger import Place, Witness, from_clone, from_state
    from muster.source.git import Repository

    now, witness = datetime.now(UTC), Witness(keys, known)
    if options["source"] == "state":
        return from_state(Path(options["state"]), now, witness)
    place = Place(Repository(Path(options["repository"])), options["revision"], options["ref"], witness)
    return from_clone(place, now)


@click.group()
def ledger() -> None:
    """Verify everything that happened: from a clone alone, or in the controller's state folder."""


@ledger.command()
@where_option("clone")
@click.option(
    "--key",
    "key_files",
    type=click.Path(dir_okay=False),
    multiple=True,
    help="A public key in PEM whose checkpoints count, beside those that the fleet declares for artifacts.",
)
@click.option(
    "--known", multiple=True, metavar="DIGEST", help="An event that was in the ledger before, and so must be now."
)
@output_option
def verify(output: str, key_files: tuple[str, ...], known: tuple[str, ...], **options: Any) -> int:
    """Verify every event, every checkpoint, and every commit that names an event.

    Exit 0: nothing is wrong. Exit 1: something is, each thing by its reason. Exit 2: it could not be told.
    """
    from muster.attest.verification import read_public_key
    from muster.review.ledger import said

    if wrong := next((digest for digest in known if not _DIGEST.fullmatch(digest)), None):
        raise Unusable(f"--known: not a digest: {wrong[:100]!r}", "give it as muster ledger verify -o json shows it")
    keys = tuple(read_public_key(Path(path)) for path in key_files)
    found = read_ledger(options, keys, known)
    head = found.rows[-1] if found.rows else None
    value = {
        "holds": not found.flaws,
        "events": len(found.rows),
        "head": head.digest if head else None,
        "checkpoints": len(found.checkpoints),
        "checkpointedAt": found.until.isoformat() if found.until else None,
        "checkpointed": found.checkpoints[-1].length if found.checkpoints else 0,
        "flaws": [{"reason": flaw.reason, "place": flaw.place, "message": flaw.message} for flaw in found.flaws],
    }

    def text() -> None:
        for flaw in found.flaws[:_SHOWN]:
            click.echo(said(flaw))
        if len(found.flaws) > _SHOWN:
            click.echo(f"… and {len(found.flaws) - _SHOWN} more: see all with -o json")
        if not found.flaws:
            click.echo(f"the ledger holds: {value['events']} events, {value['checkpointed']} of them checkpointed")
        click.echo(f"  newest event: {value['head'] or 'none'}")
        click.echo(f"  checkpoint:   {value['checkpointedAt'] or 'none'}")

    emit(value, output, text)
    return 1 if found.flaws else 0

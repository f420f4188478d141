"""`muster evidence export`, and `muster evidence verify --root`: one archive per release that proves itself."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.keyless import read_signer, signing
from muster.cli.output import emit, state_option
from muster.cli.repository import repository_option
from muster.kinds.errors import Refused, Unusable

if TYPE_CHECKING:
    from muster.attest.package.contents import Contents
    from muster.attest.package.verify import Verified
    from muster.kinds.pull_request import PullRequest

_FILE = click.Path(dir_okay=False, path_type=Path)
_DOCUMENTS = {
    "manifest": "release_manifest.json",
    "bom": "bom.json",
    "card": "model-card.md",
    "gates": "gates.json",
    "history": "history.json",
    "lineage": "lineage.json",
}


@click.command()
@click.argument("release", metavar="MODEL/VERSION")
@signing
@click.option("-o", "--output", "target", type=_FILE, help="The archive; by default MODEL-VERSION.evidence.tar.")
@click.option("--at", help="Judge as of this moment, such as 2026-03-01T12:00:00Z; by default the commit's own.")
@click.option(
    "--pull-request",
    "requests",
    type=click.IntRange(min=1),
    multiple=True,
    help="Ask GitHub (GITHUB_REPOSITORY, GITHUB_TOKEN) for the reviews of that pull request; may be repeated.",
)
@repository_option
@state_option
def export(release: str, target: Path | None, at: str | None, requests: tuple[int, ...], **options: Any) -> None:
    """Write everything that is known of a release into one archive, sealed with a key or keyless.

    Declaration, commits, reviews, approvals, gate verdicts, waivers, provenance, rebuilds, bill of materials, model
    card, lineage and rollouts; with the ledger of the state folder, if there is one. The same commit gives the same
    bytes, if a key seals it.
    """
    from muster.artifacts.durable import write_durably
    from muster.attest.package.export import export_package
    from muster.forge.git.approvals import approvals_in

    signer = read_signer(options)
    where = {name: options[name] for name in ("repository", "revision", "state")}
    archive = export_package(_gathered(release, at, requests, **where), signer, approvals_in)
    path = target or Path(f"{release.replace('/', '-')}.evidence.tar")
    write_durably(path, archive)
    click.echo(f"wrote {path}: {len(archive)} bytes")


@click.command()
@click.argument("what", type=click.Choice(sorted(_DOCUMENTS)))
@click.argument("release", metavar="MODEL/VERSION")
@click.option("-o", "--output", "target", type=_FILE, help="The file; by default it is printed.")
@click.option("--at", help="Judge as of this moment, such as 2026-03-01T12:00:00Z; by default the commit's own.")
@repository_option
@state_option
def document(what: str, release: str, target: Path | None, at: str | None, **options: str) -> None:
    """Generate one document about a release: its manifest, bill of materials (CycloneDX), model card, and so on."""
    from muster.artifacts.durable import write_durably
    from muster.attest.package.contents import Contents
    from muster.attest.package.derive import derive
    from muster.forge.git.approvals import approvals_in

    contents: Contents = Contents(_gathered(release, at, (), **options))
    data = derive(contents, approvals_in).documents[_DOCUMENTS[what]]
    if target is None:
        click.echo(data, nl=False)
    else:
        write_durably(target, data)
        click.echo(f"wrote {target}")


def verify_archives(archives: tuple[Path, ...], root: Path, max_age: str | None, output: str) -> int:
    """Verify packages with nothing but a trust root. 0 if all hold, 1 if one does not; raises `Unusable`."""
    from dataclasses import replace

    from muster.attest.package.archive import LARGEST
    from muster.attest.package.trust_root import read_trust_root
    from muster.attest.package.verify import not_older, verify_package
    from muster.build.declarations import read_bounded
    from muster.forge.git.approvals import approvals_in

    trusted, most = read_trust_root(root), _age(max_age)
    values: list[dict[str, Any]] = []
    for path in archives:
        data = read_bounded(path.parent, path.name, LARGEST)
        try:
            found = verify_package(data, trusted, approvals_in)
            if most is not None:
                found = replace(found, checks=(*found.checks, not_older(found, datetime.now(UTC), most)))
            values.append(_described(path, found))
        except Refused as error:
            values.append({"file": str(path), "holds": False, "reason": error.message, "hint": error.hint})
    emit(values, output, lambda: _show(values))
    return 0 if all(value["holds"] for value in values) else 1


def _gathered(
    release: str, at: str | None, requests: tuple[int, ...], repository: str, revision: str, state: str
) -> dict[str, bytes]:
    from muster.review.packaging import gather_package
    from muster.source.git import Repository

    told = _told(requests) if requests else None
    return gather_package(Repository(Path(repository)), revision, release, Path(state), _moment(at), told)


def _told(requests: tuple[int, ...]) -> list[PullRequest]:
    """Pull requests as GitHub tells them now. Raises `Unusable`, `Refused`, `TryAgain`."""
    from muster.forge.github.driver import from_environment

    # Whichever pull request a workflow runs for is not what is asked about.
    github = from_environment({name: value for name, value in os.environ.items() if name != "GITHUB_EVENT_PATH"})
    return [github.read(str(number)) for number in sorted(set(requests))]


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unusable(f"--at: {text!r} is no moment", "write 2026-03-01T12:00:00Z") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _age(text: str | None) -> timedelta | None:
    from muster.kinds.quantity import parse_duration

    try:
        return None if text is None else timedelta(microseconds=parse_duration(text))
    except ValueError as error:
        raise Unusable(f"--max-age: {error}", 'write "30d" or "12h"') from error


def _described(path: Path, found: Verified) -> dict[str, Any]:
    return {
        "file": str(path),
        "holds": found.holds,
        "release": found.release,
        "artifact": found.artifact,
        "commit": found.commit,
        "at": found.at,
        "sealedBy": found.signer,
        "checks": [{"what": one.what, "holds": one.holds, "says": one.says} for one in found.checks],
    }


def _show(values: list[dict[str, Any]]) -> None:
    from muster.source.git_program import printable

    for value in values:
        if "checks" not in value:
            click.echo(f"{printable(value['file'])}: does not hold: {printable(value['reason'])}")
            click.echo(f"  hint: {printable(value['hint'] or '')}")
            continue
        word = "holds" if value["holds"] else "does not hold"
        click.echo(f"{printable(value['file'])}: {word}: {value['release']} at {value['commit']}, as of {value['at']}")
        click.echo(f"  artifact: {value['artifact']}")
        for check in value["checks"]:
            click.echo(f"  {'ok ' if check['holds'] else 'BAD'} {check['what']}: {printable(check['says'])}")

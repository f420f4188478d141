"""`muster trace`: from a running device to the data that its model came from, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, output_option, state_option
from muster.cli.repository import repository_option

if TYPE_CHECKING:
    from muster.kinds.fleet import Fleet
    from muster.review.lineage import Running


@click.command()
@click.argument("thing", metavar="DIGEST|RELEASE|DEVICE")
@repository_option
@click.option("--server", envvar="MUSTER_SERVER", help="The running controller to ask for devices.")
@state_option
@output_option
def trace(thing: str, output: str, **options: Any) -> int:
    """Show where something comes from, and what rests on it.

    THING is a device, a release (MODEL/VERSION), a digest of anything that a release pins (artifact, model, snapshot,
    calibration table, source, data set, lock), a training commit or a training run. Devices come from --server, or from
    the controller's state folder. Exit 1: nothing is called so.
    """
    from muster.review.lineage import Ground
    from muster.review.lineage import trace as walk
    from muster.source.git import Repository
    from muster.source.load import Loader

    repository = Repository(Path(options["repository"]))
    commit = repository.resolve(options["revision"])
    fleet = Loader().commit(repository, commit).fleet_or_refuse(options["revision"])
    running = _running(options["server"], Path(options["state"]), fleet)
    found = walk(Ground(repository, commit, fleet, running), thing)
    emit(found, output, lambda: _show(found))
    return 0


def _running(server: str | None, state: Path, fleet: Fleet) -> tuple[Running, ...] | None:
    """What devices run; None where nobody can be asked."""
    from muster.review.lineage import running_of

    if server is not None:
        from muster.serve.client import ControllerClient

        return running_of(ControllerClient(server, state).pages("/v1/devices", limit=1_000), fleet.releases)
    if not (state / "muster.db").is_file():
        return None
    from muster.observe.convergence import device_states
    from muster.observe.storage import open_storage
    from muster.plan.describe import as_json

    engine = open_storage(state)
    try:
        with engine.connect() as connection:
            return running_of(as_json(list(device_states(connection, {}, {}))), fleet.releases)
    finally:
        engine.dispose()


def _show(found: dict[str, Any]) -> None:
    click.echo(f"{_plain(found['asked'])}: {', '.join(found['is'])}")
    for one in found.get("runs", ()):
        seen = f", last seen {one['lastSeen']}" if one["lastSeen"] else ""
        click.echo(
            f"{_plain(one['device'])} ({one['deviceClass']}) runs {one['model']}: {one['phase'] or 'silent'}{seen}"
        )
        if one["release"] is None:
            what = one["modelHash"] or "nothing that it reported"
            click.echo(f"  {what}: no release of this commit; an older one may tell: --revision")
        else:
            _show_release(one["release"])
    for release in found.get("releases", ()):
        _show_release(release)


def _show_release(release: dict[str, Any]) -> None:
    click.echo(f"{release['release']} (as {', '.join(release['as'])})")
    for step in release["descent"]:
        note = f"  {_plain(step['note'])}" if step["note"] else ""
        click.echo(f"  {step['what'] + ':':<22} {_plain(step['id'])}{note}")
    for item in release["evidence"]:
        said = f"not believed: {item['problem']}" if item["problem"] else f"{item['type']}, signed by {item['signer']}"
        click.echo(f"  {'evidence:':<22} {_plain(item['file'])}  {_plain(said)}")
    for commit in release["commits"]:
        told = f"{commit['at']} {commit['author']}: {commit['subject']}"
        click.echo(f"  {'commit:':<22} {commit['commit'][:12]}  {_plain(told)}")
    for one in release["approvals"]:
        click.echo(f"  {'approved:':<22} {_plain(one['by'])}  {one['of']} at {one['at']} on {one['commit'][:12]}")
    if release["devices"] is None:
        click.echo(f"  {'devices:':<22} not asked: give --server, or the controller's --state")
    for device in release["devices"] or ():
        seen = f", last seen {device['lastSeen']}" if device["lastSeen"] else ""
        click.echo(f"  {'device:':<22} {_plain(device['device'])} ({device['deviceClass']})  {device['phase']}{seen}")


def _plain(text: str) -> str:
    from muster.source.git_program import printable

    return printable(text)[:1_000]

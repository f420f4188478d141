"""`muster builder`: the environments that builds run in."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.output import emit, output_option, state_option


@click.group()
def builder() -> None:
    """Keep and make the environments that builds run in."""


@builder.command()
@click.argument("lock", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--to", "folder", required=True, type=click.Path(file_okay=False, path_type=Path), help="The wheelhouse.")
@click.option("--every-platform", is_flag=True, help="Every wheel of the lock, not only those for this machine.")
@output_option
def vendor(lock: Path, folder: Path, every_platform: bool, output: str) -> None:
    """Download the wheels of LOCK, each compared with its hash, so that it can be built with offline, years later.

    What is there already is compared and kept. Use it with --wheelhouse, or as the folder `wheelhouse` of a state.
    """
    from muster.build.declarations import read_bounded
    from muster.build.environment import MAX_LOCK
    from muster.build.hermetic.lock import read_lock
    from muster.build.hermetic.vendor import vendor as fill

    locked = read_lock(read_bounded(lock.parent, lock.name, MAX_LOCK), str(lock))
    wheels = fill(locked, folder, every_platform=every_platform)

    def text() -> None:
        for wheel in wheels:
            click.echo(f"{wheel.sha256}  {wheel.name}{'' if wheel.fetched else '  (was there)'}")
        click.echo(f"{folder} holds {len(wheels)} wheels for {locked.digest}")

    listed = [{"file": wheel.name, "sha256": wheel.sha256, "fetched": wheel.fetched} for wheel in wheels]
    emit({"lock": locked.digest, "folder": str(folder), "wheels": listed}, output, text)


@builder.command()
@click.argument("lock", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--wheelhouse", type=click.Path(file_okay=False, path_type=Path), help="Install from there, offline.")
@state_option
@output_option
def prepare(lock: Path, wheelhouse: Path | None, state: str, output: str) -> None:
    """Make the environment of LOCK below the state folder, or look at the one that is there."""
    from muster.build.declarations import read_bounded
    from muster.build.environment import MAX_LOCK
    from muster.build.hermetic.run import hermetic_run

    data = read_bounded(lock.parent, lock.name, MAX_LOCK)
    made = hermetic_run(data, str(lock), Path(state), wheelhouse=wheelhouse).environment

    def text() -> None:
        click.echo(f"{'made' if made.made else 'whole'}: {made.folder}, {len(made.records)} packages as locked")

    shown = {"lock": made.lock.digest, "folder": str(made.folder), "made": made.made, "records": made.records}
    emit(shown, output, text)

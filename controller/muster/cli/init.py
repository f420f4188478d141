"""`muster init`: make a fleet repository that passes `check`."""

from __future__ import annotations

from pathlib import Path

import click

from muster.cli.output import emit, output_option


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--model", default="my-model", show_default=True, help="The first model of the fleet.")
@output_option
def init(folder: Path, model: str, output: str) -> None:
    """Make a fleet repository at FOLDER, which must be new or empty, with a first commit that passes `check`."""
    from muster.source.new_fleet import make_fleet

    repository = make_fleet(folder, model)
    commit = repository.resolve("HEAD")

    def text() -> None:
        click.echo(f"made {folder} at commit {commit[:12]}")
        click.echo(f"next: {folder / 'README.md'} leads from here to the first device")

    emit({"folder": str(repository.path), "commit": commit, "model": model}, output, text)

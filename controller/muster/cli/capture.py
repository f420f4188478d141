"""`muster capture`: samples that devices sent, for labelling; and their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.output import emit, output_option, server_option, state_option
from muster.cli.repository import load_fleet, repository_option


@click.group()
def capture() -> None:
    """Export samples that devices sent, with consent, for labelling; or erase them."""


@capture.command()
@click.argument("model")
@click.option("--format", "form", type=click.Choice(["label-studio"]), default="label-studio", show_default=True)
@click.option("--purpose", help="Samples of this purpose only.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write into.")
@click.option("--image-url", help="Write pictures as files, and name them in the tasks below this URL.")
@repository_option
@server_option
@state_option
@output_option
def export(model: str, output: str, **options: Any) -> int:
    """Write the samples of MODEL as tasks of Label Studio, with a labelling config that fits them.

    Exits 1 if a sample could not be written.
    """
    from muster.serve.capture.export import CONFIG, TASKS, Export
    from muster.serve.client import ControllerClient

    fleet = load_fleet(options["repository"], options["revision"])
    inferences = {release.name: release.spec.inference for release in fleet.releases_of(model)}
    client = ControllerClient(options["server"], Path(options["state"]))
    done = Export(client, inferences, options["out"], options["image_url"]).write(model, options["purpose"])
    said = {"tasks": done.tasks, "samples": done.samples, "leftOut": done.left_out}

    def text() -> None:
        click.echo(f"wrote {done.tasks} tasks of {done.samples} samples: {options['out'] / TASKS}")
        click.echo(f"labelling config: {options['out'] / CONFIG}")
        for name, reason in done.left_out.items():
            click.echo(f"left out: {name}: {reason}")

    emit(said, output, text)
    return 1 if done.left_out else 0


@capture.command()
@click.option("--purpose", help="What was sent under this purpose.")
@click.option("--device", "device_id", help="What this device sent.")
@click.option("--by", help='Who asks, "Name <address>"; by default whose git this is.')
@server_option
@state_option
@output_option
def erase(purpose: str | None, device_id: str | None, by: str | None, output: str, **options: Any) -> None:
    """Erase samples from the server: of a purpose, of a device, or of both. The ledger says how many."""
    from muster.cli.by_hand import who_asks
    from muster.serve.client import ControllerClient

    asked = {"by": who_asks(by), "purpose": purpose, "device_id": device_id}
    client = ControllerClient(options["server"], Path(options["state"]))
    said = client.post("/v1/captures/forget", {name: value for name, value in asked.items() if value is not None})
    emit(said, output, lambda: click.echo(f"erased {said['erased']} samples"))

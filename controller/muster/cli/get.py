"""`muster get`: what is declared, published, running and healthy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli import listing
from muster.cli.output import emit, output_option, server_option, state_option
from muster.cli.repository import load_fleet, repository_option


@click.command()
@click.argument("what", type=click.Choice([*listing.DECLARED, "published", "devices", "drift", "status"]))
@click.option("--class", "device_class", help="Devices of this class only.")
@repository_option
@server_option
@state_option
@output_option
def get(what: str, output: str, **options: Any) -> int:
    """List what is declared (releases, classes, cohorts), what devices can fetch (published), or what runs (devices,
    status), or what devices run that git never declared for them (drift: exits 1 if that is not ignored).

    What is declared comes from git, and needs no controller; the rest comes from the controller.
    """
    if what in listing.DECLARED:
        rows = listing.DECLARED[what](load_fleet(options["repository"], options["revision"]))
        emit(rows, output, lambda: listing.print_declared(what, rows, options["revision"]))
        return 0
    from muster.serve.client import ControllerClient

    client = ControllerClient(options["server"], Path(options["state"]))
    if what == "published":
        published = client.get("/v1/published")
        emit(published, output, lambda: listing.print_published(published))
        return 0
    if what == "status":
        status = client.get("/v1/status")
        emit(status, output, lambda: listing.print_status(status))
        return 0 if status.get("ready") else 1
    if what == "drift":
        drift = client.get("/v1/drift", names=100)
        emit(drift, output, lambda: listing.print_drift(drift))
        return 1 if any(item["difference"]["action"] != "Ignore" for item in drift["items"]) else 0
    chosen = {"class": options["device_class"]} if options["device_class"] else {}
    states = list(client.pages("/v1/devices", limit=1_000, **chosen))
    emit(states, output, lambda: listing.print_devices(states))
    return 0

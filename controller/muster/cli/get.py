"""`muster get`: what is declared, published, running and healthy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from muster.serve.client import ControllerClient

from muster.cli import listing
from muster.cli.output import emit, output_option, server_option, state_option
from muster.cli.repository import load_fleet, repository_option
from muster.kinds.errors import Unusable

_PAGE = 1_000
_WHATS = [*listing.DECLARED, "published", "devices", "enrolments", "drift", "captures", "status"]


@click.command()
@click.argument("what", type=click.Choice(_WHATS))
@click.option("--class", "device_class", help="Devices of this class only.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Devices with all these labels only.")
@click.option("--limit", type=click.IntRange(min=1), help="As many devices at most.")
@click.option("--after", help="Devices after this id, in the order of ids: where the last page ended.")
@click.option("--model", help="Captures of this model only.")
@repository_option
@server_option
@state_option
@output_option
def get(what: str, output: str, **options: Any) -> int:
    """List what is declared (releases, classes, cohorts), what devices can fetch (published), or what runs (devices,
    status), or what devices run that git never declared for them (drift: exits 1 if that is not ignored). Ids that are
    no devices are listed as enrolments: expected, waiting to be accepted, revoked. What devices sent of what their
    models saw is listed as captures, by nothing that names a device.

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
    if what == "captures":
        chosen = {"model": options["model"]} if options["model"] else {}
        samples = list(client.pages("/v1/captures", limit=_PAGE, **chosen))
        emit(samples, output, lambda: listing.print_captures(samples))
        return 0
    rows = _page(client, what, options)
    emit(rows, output, lambda: (listing.print_devices if what == "devices" else listing.print_enrolments)(rows))
    return 0


def _page(client: ControllerClient, what: str, options: dict[str, Any]) -> list[Any]:
    """Rows of as many devices as are asked for; a device has a row for each of its models."""
    chosen: dict[str, Any] = {"class": options["device_class"]} if options["device_class"] else {}
    if options["labels"]:
        if what != "devices":
            raise Unusable(f"--label chooses devices, not {what}", "leave it out")
        chosen["label"] = list(options["labels"])
    most: int | None = options["limit"]
    rows: list[Any] = []
    seen: set[str] = set()
    for row in client.pages_after(f"/v1/{what}", options["after"], limit=min(most or _PAGE, _PAGE), **chosen):
        if most is not None and row["deviceId"] not in seen and len(seen) == most:
            break
        seen.add(row["deviceId"])
        rows.append(row)
    return rows

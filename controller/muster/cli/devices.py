"""`muster register`, `accept`, `label` and `revoke`: what people do to single devices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

from muster.cli.by_hand import who_asks
from muster.cli.output import emit, output_option, server_option, state_option
from muster.kinds.errors import Unusable

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FILE_LIMIT = 64 * 2**20
_AT_ONCE = 200
_DEVICE_ID = "ID"


def _to_a_device(command: _Command) -> _Command:
    for option in (
        output_option,
        state_option,
        server_option,
        click.option("--by", help='Who asks, "Name <address>"; by default whose git this is.'),
        click.option("--why", required=True, help="The reason, for everybody to read."),
    ):
        command = option(command)
    return command


@click.command()
@_to_a_device
@click.argument("device_id", metavar=_DEVICE_ID, required=False)
@click.option("--class", "device_class", help="The device's class.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Set on the device; may be repeated.")
@click.option("--secret-sha256", help="SHA-256 (hexadecimal) of the secret that the device has: it needs no token.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Many devices in place of ID: one JSON object a line, with deviceId, deviceClass, labels, secretSha256.",
)
def register(device_id: str | None, file: Path | None, why: str, output: str, **given: Any) -> None:
    """Let a device in that is yet to come. A revocation of its id ends."""
    if (device_id is None) == (file is None) or (device_id is not None and not given["device_class"]):
        raise Unusable("give either ID and --class, or --file", "muster register cam-7 --class cam-day --why new")
    if file is not None:
        found = _lines(file)
    else:
        one = {"deviceId": device_id, "deviceClass": given["device_class"], "labels": _labels(given["labels"])}
        found = [one | ({"secretSha256": given["secret_sha256"]} if given["secret_sha256"] else {})]
    by = who_asks(given["by"])
    for first in range(0, len(found), _AT_ONCE):
        _post("/v1/register", {"devices": found[first : first + _AT_ONCE], "by": by, "why": why}, given)
    emit({"done": "registered", "devices": len(found)}, output, lambda: click.echo(f"registered {len(found)}"))


@click.command()
@_to_a_device
@click.argument("device_id", metavar=_DEVICE_ID)
def accept(device_id: str, why: str, output: str, **given: Any) -> None:
    """Let a device in that waits (`muster get enrolments` lists them): it is enrolled when it next asks."""
    said = _post(f"{_place(device_id)}/accept", {"by": who_asks(given["by"]), "why": why}, given)
    emit(said, output, lambda: click.echo(f"accepted {device_id}"))


@click.command()
@_to_a_device
@click.argument("device_id", metavar=_DEVICE_ID)
def revoke(device_id: str, why: str, output: str, **given: Any) -> None:
    """End a device at once, or refuse one that waits: its secret is worth nothing, and its id is not let in again.

    What it showed stays counted. `muster register` lets the id in again.
    """
    said = _post(f"{_place(device_id)}/revoke", {"by": who_asks(given["by"]), "why": why}, given)
    emit(said, output, lambda: click.echo(f"revoked {device_id}; to let it in again: muster register"))


@click.command()
@_to_a_device
@click.argument("device_id", metavar=_DEVICE_ID)
@click.argument("changes", metavar="KEY=VALUE|KEY-...", nargs=-1, required=True)
def label(device_id: str, changes: tuple[str, ...], why: str, output: str, **given: Any) -> None:
    """Set labels of a device (KEY=VALUE), or take back what a person had set (KEY-).

    What a person sets counts before what the device says of itself, on the device as well once it has reported.
    `device/...` is the device's alone, `fleet/...` is people's alone.
    """
    change: dict[str, str | None] = {}
    for text in changes:
        key, equals, value = text.partition("=")
        if not equals and text.endswith("-"):
            key, value_or_none = text[:-1], None
        else:
            value_or_none = value
        if not (equals or text.endswith("-")) or key in change:
            raise Unusable(f"not a change of a label, or one of the same twice: {text}", "write site=north, or site-")
        change[key] = value_or_none
    body = {"labels": change, "by": who_asks(given["by"]), "why": why}
    said = _post(f"{_place(device_id)}/labels", body, given)
    shown = ", ".join(f"{key}={value}" for key, value in sorted(said["labels"].items())) or "no label"
    emit(said, output, lambda: click.echo(f"{device_id}: {shown}"))


def _place(device_id: str) -> str:
    return f"/v1/devices/{quote(device_id, safe='')}"


def _post(path: str, body: dict[str, Any], given: dict[str, Any]) -> Any:
    from muster.serve.client import ControllerClient

    return ControllerClient(given["server"], Path(given["state"])).post(path, body)


def _labels(pairs: tuple[str, ...]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key in labels:
            raise Unusable(f"--label {pair}: not a label, or one that was given before", "write --label site=north")
        labels[key] = value
    return labels


def _lines(file: Path) -> list[Any]:
    from muster.agent.folder import read_bounded

    found = []
    for number, line in enumerate(read_bounded(file, _FILE_LIMIT).splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise Unusable(f"{file}:{number}: not JSON", "write one object a line") from error
    if not found:
        raise Unusable(f"{file} names no device", "write one JSON object a line")
    return found

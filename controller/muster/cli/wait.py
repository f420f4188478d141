"""`muster wait`: block until the fleet runs what git declares, in good health.

Success is claimed from devices that report themselves healthy on what they should run. A device that never reported
cannot be waited for: it is named, unless nobody of its class reports either.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.output import emit, output_option, server_option, state_option
from muster.kinds.errors import TryAgain, Unusable
from muster.kinds.quantity import parse_duration

if TYPE_CHECKING:
    from muster.serve.client import ControllerClient

_NAMED = 10


@click.command()
@click.option(
    "--commit", help="Wait until the controller works from this very commit (its full id, or 7 digits of it at least)."
)
@click.option("--timeout", default="10m", show_default=True)
@click.option("--every", default="1s", show_default=True, help="Time between two questions.")
@server_option
@state_option
@output_option
def wait(output: str, **options: Any) -> int:
    """Wait until every device that reports is healthy on what is declared. Exit 0 when it is, 1 after the timeout.

    Devices that never reported are named, and not waited for, unless no device of their class reports.
    """
    import time

    from muster.serve.client import ControllerClient

    commit = _commit(options["commit"])
    client = ControllerClient(options["server"], Path(options["state"]))
    deadline = time.monotonic() + _seconds(options["timeout"])
    pause = _seconds(options["every"])
    silent: list[str] = []
    while True:
        try:
            status = client.get("/v1/status")
            missing = unmet(status, commit)
            silent = _silent(client, status)
        except TryAgain as error:
            status, missing = {}, [error.message]
        if not missing or time.monotonic() >= deadline:
            break
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
    result = {"holds": not missing, "missing": missing, "silent": silent, "commit": status.get("commit")}
    emit(result, output, lambda: click.echo("\n".join(_lines(missing, silent))))
    return 1 if missing else 0


def unmet(status: dict[str, Any], commit: str | None) -> list[str]:
    """What keeps the fleet from being what git declares; empty if nothing does."""
    missing = []
    if commit and not str(status.get("commit")).startswith(commit):
        missing.append(f"the controller works from commit {status.get('commit')}, not from {commit}")
    if status.get("sync") != "Synced":
        missing.append(f"sync is {status.get('sync')}: {status.get('reason')}")
    fleet = status.get("fleet", [])
    missing += [problem for row in fleet if (problem := _problem(row))]
    if not fleet:
        missing.append("no device is enrolled")
    return missing


def _problem(row: dict[str, Any]) -> str | None:
    """What is missing of one model on one device class."""
    reporting = row["devices"] - row["silent"]
    if not reporting:
        return f"none of {row['devices']} devices of {row['deviceClass']} has ever reported on {row['model']}"
    waiting = reporting - row["healthy"]
    return (
        f"{waiting} of {reporting} reporting devices of {row['deviceClass']} are not healthy on what "
        f"{row['model']} should be"
        if waiting
        else None
    )


def _silent(client: ControllerClient, status: dict[str, Any]) -> list[str]:
    """Devices that never reported on one of their models."""
    classes = [row["deviceClass"] for row in status.get("fleet", []) if row["silent"]]
    return [
        f"{state['deviceId']} ({state['model']})"
        for device_class in dict.fromkeys(classes)
        for state in client.pages("/v1/devices", limit=1_000, **{"class": device_class})
        if state["generation"] is None
    ]


def _lines(missing: list[str], silent: list[str]) -> list[str]:
    lines = missing or ["every device that reports is healthy on what is declared"]
    if not silent:
        return lines
    more = f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else ""
    return [*lines, f"never reported, and not waited for: {', '.join(silent[:_NAMED])}{more}"]


def _commit(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[0-9a-f]{7,64}", text):
        raise Unusable(f"--commit: not a commit id: {text!r}", "give the id itself: git rev-parse HEAD")
    return text


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / 1_000_000
    except ValueError as error:
        raise Unusable(str(error)) from error

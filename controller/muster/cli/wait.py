"""`muster wait`: block until the fleet runs what git declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.output import emit, output_option, server_option, state_option
from muster.kinds.errors import TryAgain, Unusable
from muster.kinds.quantity import parse_duration


@click.command()
@click.option("--commit", help="Wait until at least this commit is what the controller reconciles.")
@click.option("--timeout", default="10m", show_default=True)
@click.option("--every", default="1s", show_default=True, help="Time between two questions.")
@server_option
@state_option
@output_option
def wait(output: str, **options: Any) -> int:
    """Wait until every device runs what is declared. Exit 0 when it does, 1 after the timeout."""
    import time

    from muster.serve.client import ControllerClient

    client = ControllerClient(options["server"], Path(options["state"]))
    deadline = time.monotonic() + _seconds(options["timeout"])
    pause = _seconds(options["every"])
    while True:
        try:
            status = client.get("/v1/status")
            missing = unmet(status, options["commit"])
        except TryAgain as error:
            status, missing = {}, [error.message]
        if not missing or time.monotonic() >= deadline:
            break
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
    result = {"holds": not missing, "missing": missing, "commit": status.get("commit")}
    emit(result, output, lambda: click.echo("\n".join(missing) or "every device runs what is declared"))
    return 1 if missing else 0


def unmet(status: dict[str, Any], commit: str | None) -> list[str]:
    """What keeps the fleet from being what git declares; empty if nothing does."""
    missing = []
    if commit and status.get("commit") != commit:
        missing.append(f"the controller reconciles {status.get('commit')}, not {commit}")
    if status.get("sync") != "Synced":
        missing.append(f"sync is {status.get('sync')}: {status.get('reason')}")
    missing += [
        f"{row['devices'] - row['synced']} of {row['devices']} devices of {row['deviceClass']} "
        f"do not run what {row['model']} should be"
        for row in status.get("fleet", [])
        if row["synced"] < row["devices"]
    ]
    if not status.get("fleet"):
        missing.append("no device is enrolled")
    return missing


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / 1_000_000
    except ValueError as error:
        raise Unusable(str(error)) from error

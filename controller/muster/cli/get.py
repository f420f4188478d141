"""`muster get` and `muster describe`: what is declared, published, running and healthy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muster.cli.output import emit, output_option, server_option, state_option, table
from muster.cli.repository import load_fleet, repository_option
from muster.kinds.errors import Refused
from muster.kinds.fleet import Fleet
from muster.kinds.quantity import format_percent


@click.command()
@click.argument("what", type=click.Choice(["releases", "classes", "cohorts", "devices", "status"]))
@click.option("--class", "device_class", help="Devices of this class only.")
@repository_option
@server_option
@state_option
@output_option
def get(what: str, output: str, **options: Any) -> int:
    """List what is declared (releases, classes, cohorts), or what runs (devices, status).

    What is declared comes from git, and needs no controller; what runs comes from the controller.
    """
    if what in ("releases", "classes", "cohorts"):
        fleet = load_fleet(options["repository"], options["revision"])
        rows = {"releases": _releases, "classes": _classes, "cohorts": _cohorts}[what](fleet)
        emit(rows, output, lambda: table(list(rows[0]) if rows else [], [list(row.values()) for row in rows]))
        return 0
    from muster.serve.client import ControllerClient

    client = ControllerClient(options["server"], Path(options["state"]))
    if what == "status":
        status = client.get("/v1/status")
        emit(status, output, lambda: _print_status(status))
        return 0 if status.get("ready") else 1
    chosen = {"class": options["device_class"]} if options["device_class"] else {}
    states = list(client.pages("/v1/devices", limit=1_000, **chosen))
    emit(states, output, lambda: _print_devices(states))
    return 0


@click.command()
@click.argument("what", type=click.Choice(["release", "device", "plan"]))
@click.argument("name", required=False)
@repository_option
@server_option
@state_option
@output_option
def describe(what: str, name: str | None, output: str, **options: Any) -> int:
    """Show one release (MODEL/VERSION), one device (ID), or the newest plan, with reasons."""
    if what == "release":
        fleet = load_fleet(options["repository"], options["revision"])
        release = fleet.release(name or "")
        if release is None:
            known = ", ".join(item.name for item in fleet.releases) or "none"
            raise Refused(f"release {name} is not declared at {options['revision']}", f"declared are: {known}")
        declared = release.model_dump(mode="json", by_alias=True, exclude_none=True)
        emit(declared, output, lambda: _print_nested(declared))
        return 0
    from muster.serve.client import ControllerClient

    client = ControllerClient(options["server"], Path(options["state"]))
    if what == "plan":
        plan = client.get("/v1/plan")
        emit(plan, output, lambda: print_plan(plan))
        return 0
    found = [state for state in client.pages("/v1/devices", limit=1_000) if state["deviceId"] == name]
    if not found:
        raise Refused(f"device {name} is not enrolled", "list those that are: muster get devices")
    emit(found, output, lambda: _print_nested(found[0] if len(found) == 1 else {s["model"]: s for s in found}))
    return 0


def _releases(fleet: Fleet) -> list[dict[str, Any]]:
    return [
        {
            "release": release.name,
            "tier": release.spec.tier,
            "supersedes": release.spec.supersedes or "-",
            "artifact": release.spec.artifact.digest[:19],
            "classes": ",".join(runtime.device_class for runtime in release.spec.runtimes),
            "rollout": ", ".join(f"{name} {format_percent(ppm)}" for name, ppm in release.spec.rollout.cohorts.items()),
        }
        for release in fleet.releases
    ]


def _classes(fleet: Fleet) -> list[dict[str, Any]]:
    return [
        {
            "class": item.metadata.name,
            "runtime": f"{item.spec.runtime.name} {item.spec.runtime.version}",
            "providers": ",".join(item.spec.runtime.providers),
            "models": ",".join(item.spec.models),
            "hardware": item.spec.hardware,
        }
        for item in fleet.device_classes
    ]


def _cohorts(fleet: Fleet) -> list[dict[str, Any]]:
    return [
        {
            "cohort": item.metadata.name,
            "order": item.spec.order,
            "selector": ",".join(f"{k}={v}" for k, v in item.spec.selector.match_labels.items()) or "every device",
        }
        for item in fleet.cohorts
    ]


def _print_status(status: dict[str, Any]) -> None:
    click.echo(
        f"commit {status.get('commit')}  generation {status.get('generation')}  "
        f"sync {status.get('sync')}  health {status.get('health')}"
    )
    for condition in status.get("conditions", []):
        click.echo(f"  {condition['type']}: {condition['status']} ({condition['reason']}) {condition['message']}")
    for suspension in status.get("suspensions", []):
        click.echo(f"  suspended: {suspension['release']} since {suspension['at']}: {suspension['reason']}")
    columns = ["model", "deviceClass", "devices", "synced", "healthy", "silent", "running"]
    running = [
        ", ".join(f"{name} ×{count}" for name, count in sorted(row["running"].items())) for row in status["fleet"]
    ]
    table(
        columns,
        [[row[column] for column in columns[:-1]] + [runs] for row, runs in zip(status["fleet"], running, strict=True)],
    )


def _print_devices(states: list[dict[str, Any]]) -> None:
    table(
        ["device", "class", "cohort", "model", "desired", "running", "synced", "phase", "error", "last seen"],
        [
            [
                *(state[key] or "-" for key in ("deviceId", "deviceClass", "cohort", "model", "desired", "running")),
                "yes" if state["synced"] else "no",
                *(state[key] or "-" for key in ("phase", "errorCode", "lastSeen")),
            ]
            for state in states
        ],
    )


def print_plan(plan: dict[str, Any]) -> None:
    """A plan for people: what will be done, what is waited for, what was judged."""
    click.echo(f"commit {plan['commit']}  generation {plan['generation']}")
    for action in plan["actions"]:
        subject = action.get("release") or ", ".join("/".join(key) for key in action.get("changed", []))
        note = f": {action['reason']}" if action.get("reason") else ""
        failed = f"  (failed: {action['failed']})" if action.get("failed") else ""
        click.echo(f"  {action['step']} {subject}{note}{failed}")
    if not plan["actions"]:
        click.echo("  nothing to do")
    for wait in plan["waits"]:
        click.echo(f"  waits: {wait['step']} {wait['subject']}: {wait['reason']}\n    until: {wait['liftedBy']}")
    for verdict in plan["verdicts"]:
        click.echo(f"  judged: {verdict['release']} {verdict['outcome']}: {verdict['reason']}")


def _print_nested(value: dict[str, Any], indent: int = 0) -> None:
    for key, item in value.items():
        if isinstance(item, dict):
            click.echo(f"{' ' * indent}{key}:")
            _print_nested(item, indent + 2)
        elif isinstance(item, list):
            click.echo(f"{' ' * indent}{key}: {', '.join(str(part) for part in item)}")
        else:
            click.echo(f"{' ' * indent}{key}: {item}")

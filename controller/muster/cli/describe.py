"""`muster describe`: one resource with all that is known of it, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from muster.cli.listing import shares_text
from muster.cli.output import emit, output_option, server_option, state_option, table
from muster.cli.repository import load_fleet, repository_option
from muster.kinds.errors import MusterError, Refused, Unusable
from muster.kinds.release import Release

if TYPE_CHECKING:
    from muster.serve.client import ControllerClient


@click.command()
@click.argument("what", type=click.Choice(["release", "device", "plan"]))
@click.argument("name", required=False)
@repository_option
@server_option
@state_option
@output_option
def describe(what: str, name: str | None, output: str, **options: Any) -> int:
    """Show one release (MODEL/VERSION), one device (ID), or the newest plan, with reasons.

    A release is read from git; how far it came is added where a controller answers.
    """
    if what != "plan" and name is None:
        raise Unusable(f"describe {what} needs a name", f"list what there is: muster get {what}s")
    if what == "release":
        value = _release(str(name), options)
        emit(value, output, lambda: _print_release(value))
        return 0
    from muster.serve.client import ControllerClient

    client = ControllerClient(options["server"], Path(options["state"]))
    if what == "plan":
        plan = client.get("/v1/plan")
        if plan is None:
            raise Unusable("the controller has made no plan yet", "muster get status says what it waits for")
        emit(plan, output, lambda: print_plan(plan))
        return 0
    device = _device(client, str(name))
    emit(device, output, lambda: _print_nested({**device, "models": _by_model(device["models"])}))
    return 0


def _device(client: ControllerClient, name: str) -> dict[str, Any]:
    """What is known of a device, and for each of its models what drifted; or of an id that is none yet, or no more."""
    device: dict[str, Any] = client.get(f"/v1/devices/{quote(name, safe='')}")
    if device["state"] != "enrolled":
        return device
    drifted = client.get("/v1/drift", names=0)["items"]
    return {**device, "models": [{**state, "drift": _drift_of(state, drifted)} for state in device["models"]]}


def _by_model(models: list[Any]) -> Any:
    return {one["model"]: one for one in models} if models and isinstance(models[0], dict) else models


def _drift_of(state: dict[str, Any], drifted: list[dict[str, Any]]) -> dict[str, Any] | None:
    """In what a device runs what git never declared for it, and what is done about that."""
    said = state["telemetry"]
    runs = {"modelHash": "model_hash", "configVersion": "config_version", "runtimeVersion": "runtime_version"}
    what = {key: said[name] for key, name in runs.items()}
    found = _find(drifted, deviceClass=state["deviceClass"], model=state["model"], runs=what)
    return {key: found[key] for key in ("difference", "since")} if found else None


def _release(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """What is declared of a release; per device class what is published and shown; what was decided last."""
    from muster.serve.client import ControllerClient

    fleet = load_fleet(options["repository"], options["revision"])
    release = fleet.release(name)
    if release is None:
        known = ", ".join(item.name for item in fleet.releases) or "none"
        raise Refused(f"release {name} is not declared at {options['revision']}", f"declared are: {known}")
    declared = release.model_dump(mode="json", by_alias=True, exclude_none=True)
    try:
        client = ControllerClient(options["server"], Path(options["state"]))
        status, published, plan = (client.get(f"/v1/{what}") for what in ("status", "published", "plan"))
    except MusterError as error:
        return {"declared": declared, "unknown": error.message, "classes": [], "verdicts": [], "waits": []}
    plan = plan or {"verdicts": [], "waits": []}
    return {
        "declared": declared,
        "unknown": None,
        "suspension": _find(status.get("suspensions", []), release=name) or None,
        "classes": [_on_class(release, runtime.device_class, status, published) for runtime in release.spec.runtimes],
        "verdicts": [verdict for verdict in plan["verdicts"] if verdict["release"] == name],
        "waits": [wait for wait in plan["waits"] if name in wait["subject"].replace(",", " ").split()],
    }


def _on_class(release: Release, name: str, status: dict[str, Any], published: dict[str, Any]) -> dict[str, Any]:
    """How far a release came on one device class. Shares in parts per million of each cohort."""
    document = _find(published["documents"], model=release.model, deviceClass=name)
    entry = _find(document.get("entries", []), release=release.name)
    halt = _find(document.get("halted", []), release=release.name)
    exposure = _find(status["releases"], release=release.name, deviceClass=name)
    fleet = _find(status["fleet"], model=release.model, deviceClass=name)
    return {
        "deviceClass": name,
        "desired": entry.get("ppm", {}),
        "since": entry.get("since"),
        "halted": halt.get("reason"),
        "devices": fleet.get("devices", 0),
        "running": fleet.get("running", {}).get(release.name, 0),
        **{number: exposure.get(number, 0) for number in ("tried", "failures", "recalled", "neverOffered")},
        "phases": exposure.get("phases", {}),
        "errorCodes": exposure.get("errorCodes", {}),
    }


def _find(rows: list[dict[str, Any]], **key: Any) -> dict[str, Any]:
    """The row with these values; empty if there is none."""
    return next((row for row in rows if all(row[name] == value for name, value in key.items())), {})


def _print_release(value: dict[str, Any]) -> None:
    _print_nested(value["declared"])
    click.echo()
    if value["unknown"]:
        click.echo(f"how far it came is not known: {value['unknown']}")
        return
    if value["suspension"]:
        click.echo(f"suspended since {value['suspension']['at']}: {value['suspension']['reason']}")
    numbers = ("devices", "running", "tried", "failures", "recalled", "neverOffered")
    table(
        ["class", "desired", *numbers[:-1], "never offered", "phases", "errors"],
        [
            [
                row["deviceClass"],
                f"halted: {row['halted']}" if row["halted"] else shares_text(row["desired"]) or "-",
                *(row[number] for number in numbers),
                _counts(row["phases"]),
                _counts(row["errorCodes"]),
            ]
            for row in value["classes"]
        ],
    )
    _print_reasons(value)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ×{count}" for name, count in sorted(counts.items())) or "-"


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
    _print_reasons(plan)


def _print_reasons(value: dict[str, Any]) -> None:
    for wait in value["waits"]:
        click.echo(f"  waits: {wait['step']} {wait['subject']}: {wait['reason']}\n    until: {wait['liftedBy']}")
    for verdict in value["verdicts"]:
        click.echo(f"  judged: {verdict['release']} {verdict['outcome']}: {verdict['reason']}")
        _print_record(verdict)


def _print_record(verdict: dict[str, Any]) -> None:
    """The numbers of a decision that was explained, and what would change it."""
    record = verdict.get("record") or {}
    if not record.get("candidate"):
        return
    bounds = " to ".join(record[end] or "open" for end in ("lower", "upper"))
    counts = ", ".join(f"{count} {name}" for name, count in record["candidate"].items() if count) or "nobody"
    shares = f"exposure {record['exposurePpm'] / 10_000:g} %, error spent {record['errorPpm'] / 10_000:g} %"
    click.echo(f"    against {verdict['against']} {record['boundary']}: bounds {bounds}; {counts}; {shares}")
    click.echo(f"    changed by: {verdict['liftedBy']}")


def _print_nested(value: dict[str, Any], indent: int = 0) -> None:
    for key, item in value.items():
        if isinstance(item, dict):
            click.echo(f"{' ' * indent}{key}:")
            _print_nested(item, indent + 2)
        elif isinstance(item, list) and any(isinstance(part, dict) for part in item):
            for part in item:
                click.echo(f"{' ' * indent}{key}:")
                _print_nested(part, indent + 2)
        elif isinstance(item, list):
            click.echo(f"{' ' * indent}{key}: {', '.join(str(part) for part in item)}")
        else:
            click.echo(f"{' ' * indent}{key}: {'-' if item is None else item}")

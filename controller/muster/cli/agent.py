"""`muster agent`: what a device runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muster.cli.agent_diagnose import diagnose
from muster.cli.output import emit, table
from muster.kinds.errors import Unusable

if TYPE_CHECKING:
    from muster.agent.journal import Slot

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_TOKEN_LIMIT = 4_096
# No YAML here: a device does not install a library for it.
_output = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group()
def agent() -> None:
    """Run on a device: enrol, fetch, verify, load, report."""


@agent.command()
@click.option("--folder", type=_FOLDER, required=True, help="Folder of this device; made if missing.")
@click.option("--server", required=True, help="URL of the controller, such as https://muster.example.org.")
@click.option(
    "--token-file", type=_FILE, help="File with the enrolment token. A device whose secret was registered needs none."
)
@click.option(
    "--token",
    envvar="MUSTER_TOKEN",
    help="The enrolment token; better in MUSTER_TOKEN or a file. Not needed if the device was registered.",
)
@click.option("--device-id", required=True, help="How the device is called; never changes.")
@click.option("--device-class", required=True, help="A device class that the fleet declares.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="May be given more than once.")
@click.option("--model", "models", multiple=True, required=True, help="A model to run. May be given more than once.")
@click.option(
    "--mirror",
    "mirrors",
    multiple=True,
    help="URL whose /tuf/ holds what the server's does; asked for artifacts first. May be given more than once.",
)
@click.option(
    "--time-zone", help="IANA name of the zone whose clocks maintenance windows are read on; else the system's."
)
@click.option("--root", type=_FILE, required=True, help="Trusted TUF root, from the controller, over a trusted way.")
@click.option("--unsafe-plain-http", is_flag=True, help="Allow http:// to another machine.")
@_output
def enrol(folder: Path, root: Path, output: str, **given: Any) -> None:
    """Make this device known to the controller. May be repeated if it was cut off."""
    from muster.agent.enrol import enrol as enrol_device
    from muster.agent.folder import DeviceFolder
    from muster.agent.http_server import HttpServer
    from muster.agent.identity import make_identity, parse_server
    from muster.agent.waiting import zone_of

    server = parse_server(given["server"], unsafe_plain_http=given["unsafe_plain_http"])
    identity = make_identity(
        device_id=given["device_id"],
        device_class=given["device_class"],
        labels=_labels(given["labels"]),
        models=tuple(dict.fromkeys(given["models"])),
        server=server,
        mirrors=tuple(
            parse_server(url, unsafe_plain_http=given["unsafe_plain_http"]) for url in dict.fromkeys(given["mirrors"])
        ),
        time_zone=given["time_zone"],
    )
    zone_of(identity.time_zone)
    token = _token(given["token"], given["token_file"])
    enrol_device(DeviceFolder(folder), HttpServer(server), identity, token, root)
    emit(
        {"deviceId": identity.device_id, "folder": str(folder), "server": server},
        output,
        lambda: click.echo(f"enrolled {identity.device_id}; start it with: muster agent run --folder {folder}"),
    )


@agent.command()
@click.option("--folder", "folders", type=_FOLDER, multiple=True, required=True, help="May be given more than once.")
@click.option("--frames", type=_FILE, help="Recorded frames (.tensors) that stand in for the camera.")
@click.option("--frame-interval", default="50ms", show_default=True, help="A frame comes this often.")
@click.option("--poll-interval", help="Ask this often, whatever the fleet declares.")
@click.option("--bandwidth", help='Receive at most that much a second, all devices together, such as "64KiB".')
@_output
def run(folders: tuple[Path, ...], frames: Path | None, output: str, **given: str | None) -> int:
    """Run the agents of one or more devices until SIGTERM. What happens is told line by line."""
    from muster.agent.camera import read_frames
    from muster.agent.folder import DeviceFolder
    from muster.agent.loop import Options, run_agents

    options = Options(
        frames=read_frames(frames) if frames else None,
        frame_interval=_seconds("--frame-interval", str(given["frame_interval"])),
        poll_interval=_seconds("--poll-interval", given["poll_interval"]) if given["poll_interval"] else None,
        bandwidth=_bytes("--bandwidth", given["bandwidth"]) if given["bandwidth"] else None,
    )
    return run_agents(
        [DeviceFolder(folder) for folder in dict.fromkeys(folders)], options, _say_json if output == "json" else _say
    )


@agent.command("rotate-secret")
@click.option("--folder", type=_FOLDER, required=True, help="Folder of the device; its agent must not run meanwhile.")
@_output
def rotate_secret(folder: Path, output: str) -> None:
    """Give this device another secret. A running agent does so itself when its device class asks for it."""
    from muster.agent.folder import DeviceFolder
    from muster.agent.http_server import HttpServer
    from muster.agent.identity import read_identity, read_secret
    from muster.agent.rotation import rotate

    device = DeviceFolder(folder)
    identity = read_identity(device)
    with device.held():
        rotate(device, HttpServer(identity.server), identity.device_id, read_secret(device))
    emit({"deviceId": identity.device_id}, output, lambda: click.echo(f"{identity.device_id} has another secret"))


@agent.command()
@click.argument("job", type=_FILE)
@click.option("--digest", required=True, help="The digest of JOB, as `muster measure --job` told it.")
@click.option("--folder", type=_FOLDER, required=True, help="Folder of the device; its agent must not run meanwhile.")
@click.option("--out", type=_FILE, required=True, help="File for the record.")
@click.option("--soak", help='Run for that long, such as "24h", and record whether answers hold, in place of all else.')
@_output
def measure(job: Path, folder: Path, out: Path, output: str, **given: str | None) -> None:
    """Run JOB on this reference device, and record what it took, for `muster measure --from`."""
    import time
    from datetime import UTC, datetime

    from muster.agent.folder import DeviceFolder
    from muster.agent.identity import read_identity
    from muster.agent.job import read_job
    from muster.agent.measuring import Reference, record
    from muster.agent.runtime import OnnxRuntime
    from muster.artifacts.durable import write_durably
    from muster.artifacts.timing import Effort

    device = DeviceFolder(folder)
    identity = read_identity(device)
    soak = round(_seconds("--soak", given["soak"]) * 1_000_000_000) if given["soak"] else 0
    with device.held():
        reference = Reference(identity, OnnxRuntime(), time.perf_counter_ns, Effort(), datetime.now(UTC), soak)
        found = record(read_job(job, str(given["digest"])), reference)
    write_durably(out, found.model_dump_json(exclude_none=True).encode())
    emit({"file": str(out), "job": found.job, "deviceId": found.device_id}, output, lambda: click.echo(f"wrote {out}"))


@agent.command()
@click.argument("purpose", required=False)
@click.argument("choice", type=click.Choice(["on", "off"]), required=False)
@click.option("--folder", type=_FOLDER, required=True, help="Folder of the device.")
@_output
def consent(folder: Path, purpose: str | None, choice: str | None, output: str) -> None:
    """Consent to the capture of samples for PURPOSE, or withdraw it. Without PURPOSE: show what is declared.

    Withdrawing erases what waits here at once; the server is asked to erase what it has as soon as it answers.
    """
    from muster.agent.capture.owner import choose, overview
    from muster.agent.folder import DeviceFolder

    device = DeviceFolder(folder)
    if purpose is not None:
        if choice is None:
            raise Unusable(f"{purpose}: on or off?", f"muster agent consent {purpose} on --folder {folder}")
        choose(device, purpose, given=choice == "on")
    rows = overview(device)

    def text() -> None:
        if not rows:
            click.echo("nothing is declared, and nothing consented to")
            return
        table(["purpose", "model", "consent", "waiting", "to be erased", "statement"], [
            [row["purpose"], row["model"] or "-", "on" if row["consent"] else "off", row["waiting"],
             "yes" if row["toBeErased"] else "no", row["statement"] or "-"]
            for row in rows
        ])  # fmt: skip

    emit(rows, output, text)


@agent.command()
@click.option("--folder", type=_FOLDER, required=True, help="Folder of the device.")
@_output
def status(folder: Path, output: str) -> None:
    """Show what a device runs and how far it came, from its folder alone."""
    from muster.agent.folder import DeviceFolder

    value = _status(DeviceFolder(folder))

    def text() -> None:
        table(["device", "class", "server", "downloads", "waiting reports", "problem"], [[
            value["deviceId"], value["deviceClass"], value["server"], value["downloads"],
            value["waitingReports"], value["problem"] or "-",
        ]])  # fmt: skip
        names = (
            "model",
            "generation",
            "runs",
            "state",
            "confirmed",
            "previous",
            "on its way",
            "waits until",
            "quarantined",
        )
        table(names, [
            [row["model"], row["generation"], row["running"] or "-", row["state"], row["confirmed"] or "-",
             row["previous"] or "-", row["staging"] or "-", row["waitsUntil"] or "-", len(row["quarantine"])]
            for row in value["models"]
        ])  # fmt: skip

    emit(value, output, text)


agent.add_command(diagnose)


def _status(folder: Any) -> dict[str, Any]:
    from muster.agent.identity import read_identity
    from muster.agent.journal import ModelState, read_journal

    identity = read_identity(folder)
    state, recovery = read_journal(folder)
    models = []
    for name in identity.models:
        model = state.models.get(name, ModelState())
        models.append(
            {
                "model": name,
                "generation": model.generation,
                "running": _release(model.running),
                "modelHash": model.running.entry.model_hash if model.running else None,
                "state": "trial" if model.trial else "confirmed" if model.confirmed else "empty",
                "confirmed": _release(model.confirmed),
                "previous": _release(model.previous),
                "staging": f"{model.staging.entry.release} ({model.staging.step})" if model.staging else None,
                "waitsUntil": model.waits_until,
                "quarantine": model.quarantine,
            }
        )
    return {
        "deviceId": identity.device_id,
        "deviceClass": identity.device_class,
        "labels": identity.labels,
        "server": identity.server,
        "journal": recovery,
        "downloads": state.downloads,
        "waitingReports": len(state.outbox),
        "problem": state.problem,
        "models": models,
    }


def _release(slot: Slot | None) -> str | None:
    return slot.entry.release if slot else None


def _say(device_id: str, what: str) -> None:
    click.echo(f"{device_id}\t{what}")


def _say_json(device_id: str, what: str) -> None:
    click.echo(json.dumps({"deviceId": device_id, "event": what}))


def _labels(pairs: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key in labels:
            raise Unusable(f"--label {pair}: not a label, or one that was given before", "write --label site=north")
        labels[key] = value
    return labels


def _token(token: str | None, file: Path | None) -> str | None:
    from muster.agent.folder import read_bounded

    if file is not None:
        token = read_bounded(file, _TOKEN_LIMIT).decode(errors="replace").strip()
    return token


def _bytes(option: str, text: str) -> float:
    from muster.kinds.quantity import parse_size

    return float(_read(option, text, parse_size, (1_024, "too little", "1KiB")))


def _seconds(option: str, text: str) -> float:
    from muster.kinds.quantity import parse_duration

    return _read(option, text, parse_duration, (1_000, "too short", "1ms")) / 1_000_000


def _read(option: str, text: str, parse: Callable[[str], int], bound: tuple[int, str, str]) -> int:
    """A quantity. `bound`: the least that makes sense, what is said of less, and how the least is written."""
    least, too_small, written = bound
    try:
        found = parse(text)
    except ValueError as error:
        raise Unusable(f"{option}: {error}") from error
    if found < least:
        raise Unusable(f"{option}: {text} is {too_small}", f'write at least "{written}"')
    return found

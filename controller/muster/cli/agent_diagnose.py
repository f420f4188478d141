"""`muster agent diagnose`: what playbooks ask for, of one device."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muster.cli.output import emit, table

if TYPE_CHECKING:
    from muster.agent.diagnosis import Checked, Diagnosis, ModelDiagnosis, Offer

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--folder", type=_FOLDER, required=True, help="Folder of the device; its agent may run meanwhile.")
@click.option("--bundle", type=_FILE, help="Write an archive for others, without secrets and content of the device.")
@click.option("--offline", is_flag=True, help="Do not ask the server what it publishes.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def diagnose(folder: Path, bundle: Path | None, output: str, *, offline: bool) -> int:
    """Look at this device: versions, digests, signatures, disk, memory, providers, golden run, what comes next.

    Nothing on it is changed. Exit 1 if something is not as it should be.
    """
    from datetime import UTC, datetime

    from muster.agent.diagnose import Means
    from muster.agent.diagnose import diagnose as look
    from muster.agent.folder import DeviceFolder
    from muster.agent.http_server import HttpServer
    from muster.agent.identity import read_identity
    from muster.agent.runtime import OnnxRuntime

    device = DeviceFolder(folder)
    server = None if offline else HttpServer(read_identity(device).server)
    found = look(device, Means(server, OnnxRuntime().providers), datetime.now(UTC))
    if bundle is not None:
        _write_bundle(device.path, bundle, found)
    value = {
        **found.model_dump(mode="json"),
        "findings": [finding.model_dump(mode="json") for finding in found.findings],
        **({"bundle": str(bundle)} if bundle else {}),
    }
    emit(value, output, lambda: _show(found, bundle))
    return 1 if found.findings else 0


def _write_bundle(folder: Path, bundle: Path, found: Diagnosis) -> None:
    from muster.agent.diagnosis_bundle import members_of
    from muster.agent.folder import DeviceFolder
    from muster.artifacts.durable import write_durably
    from muster.attest.package.archive import pack

    write_durably(bundle, pack(members_of(DeviceFolder(folder), found)), mode=0o600)


def _show(found: Diagnosis, bundle: Path | None) -> None:
    _show_device(found)
    for model in found.models:
        _show_model(model)
    click.echo()
    if found.findings:
        table(["code", "where", "what"], [[one.code or "-", one.where, one.what] for one in found.findings])
    else:
        click.echo("nothing is wrong")
    if bundle:
        click.echo(f"wrote {bundle}")


def _show_device(found: Diagnosis) -> None:
    rows = [
        ("device", found.device_id),
        ("class", found.device_class),
        ("labels", ", ".join(found.label_keys) or "-"),
        ("agent", "runs" if found.agent_runs else "does not run"),
        ("journal", found.journal),
        ("last problem", found.problem or "-"),
        ("server", found.server),
        ("server answers", _said(found.server_answers)),
        *((f"version of {name}", number) for name, number in found.versions.items()),
        ("providers", ", ".join(found.providers)),
        ("disk", f"{found.disk.free} of {found.disk.total} bytes free; {found.disk.agent} in the folder"),
        ("memory", f"{found.memory.available or '?'} of {found.memory.total or '?'} bytes for a model"),
        ("thermal state", found.thermal_state),
        ("downloads", found.downloads),
        ("waiting reports", found.waiting_reports),
        *(
            (f"metadata {role.role}", f"{role.version}, {'expired' if role.expired else 'good until'} {role.expires}")
            for role in found.metadata
        ),
    ]
    table(["what", "found"], rows)


def _show_model(model: ModelDiagnosis) -> None:
    desired, session = model.desired, model.session
    staging = f"{model.staging} ({model.staging_step})" if model.staging else "-"
    rows = [
        ("model", model.model),
        ("active", f"{model.running or '-'} ({model.state})"),
        ("downloaded", staging),
        ("waits until", model.waits_until or "-"),
        ("golden run", _said(model.golden_run)),
        ("generation", f"{model.generation} followed, {desired.generation if desired else '?'} published"),
        ("cohort", (desired.cohort if desired else None) or "-"),
        ("next", desired.step if desired else "not known without the server"),
        ("quarantined", ", ".join(model.quarantine) or "-"),
        ("crashes", model.crashes),
    ]
    if session is not None and session.loaded is not None:
        rows.append(("application loaded", f"{session.loaded.model_hash} on {session.loaded.delegate}"))
        rows.append(("application p50, p95", f"{session.loaded.p50_ms} ms, {session.loaded.p95_ms} ms"))
        rows.append(("dropped frames", session.dropped_frames))
    click.echo()
    table(["what", "found"], rows)
    _show_slots(model)
    if desired and desired.offers:
        _show_offers(desired.offers)


def _show_slots(model: ModelDiagnosis) -> None:
    click.echo()
    table(
        ["slot", "release", "artifact", "model hash", "files", "signature"],
        [
            [
                slot.role,
                slot.release,
                slot.artifact,
                slot.model_hash,
                ("changed: " + ", ".join(slot.damaged) if slot.damaged else "whole") if slot.present else "gone",
                _said(slot.signature),
            ]
            for slot in model.slots
        ],
    )


def _show_offers(offers: Iterable[Offer]) -> None:
    click.echo()
    table(
        ["on offer", "share", "in it", "room", "provider", "runtime", "quarantined", "halted"],
        [
            [
                offer.release,
                f"{offer.bucket} of {offer.ppm} ppm",
                _yes(offer.in_share),
                _yes(offer.fits_disk),
                f"{offer.provider}{'' if offer.provider_present else ' (missing)'}",
                offer.runtime_version,
                _yes(offer.quarantined),
                _yes(offer.halted),
            ]
            for offer in offers
        ],
    )


def _said(checked: Checked) -> str:
    if checked.result == "held":
        return "holds"
    return f"{checked.code or checked.result}: {checked.why}"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"

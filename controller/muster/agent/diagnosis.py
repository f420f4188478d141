"""What `muster agent diagnose` finds, as a value: safe to hand on.

It holds no secret, no token, no value of a label, no path or user of the server's URL, and nothing of what the device's
models were asked or answered. Sizes in bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from muster.agent.sessions import Session
from muster.agent.vitals import Thermal
from muster.kinds.resource import AsTuple, Declared


class Finding(Declared):
    """What is not as it should be. `code` is one of telemetry's, where there is one."""

    code: str | None
    where: str
    what: str


class Checked(Declared):
    """`held`, or the code and the reason; `skipped` if it could not be tried, with the reason."""

    result: Literal["held", "failed", "skipped"]
    code: str | None = None
    why: str | None = None


class Space(Declared):
    """`agent`: what lies in the device's folder."""

    total: int
    free: int
    agent: int


class Memory(Declared):
    """`available`: what a model may take when it is loaded. None where the system does not say."""

    total: int | None
    available: int | None


class Role(Declared):
    """One file of TUF's metadata that the device verified before."""

    role: str
    version: int
    expires: str
    expired: bool


SlotRole = Literal["trial", "confirmed", "previous"]


class SlotFound(Declared):
    """One kept artifact. `damaged`: names of files that are not what the manifest pins; the manifest's own, too."""

    role: SlotRole
    release: str
    artifact: str
    model_hash: str
    config_version: str
    present: bool
    damaged: Annotated[tuple[str, ...], AsTuple]
    signature: Checked


class Offer(Declared):
    """One entry of the desired document, and what decides whether this device runs it. `ppm` is its cohort's."""

    release: str
    artifact: str
    size: int
    bucket: int
    ppm: int
    in_share: bool
    quarantined: bool
    halted: bool
    fits_disk: bool
    provider: str
    provider_present: bool
    runtime_version: str
    kept: bool


class Desired(Declared):
    """`step`: what the agent does next, by its own rules; `problem` is its code if it should do more and cannot."""

    generation: int
    commit: str
    cohort: str | None
    offers: Annotated[tuple[Offer, ...], AsTuple]
    step: str
    problem: str | None


class ModelDiagnosis(Declared):
    """One model. Downloaded and active are two facts: `staging` is on its way, `running` was switched in."""

    model: str
    generation: int
    running: str | None
    state: Literal["trial", "confirmed", "empty"]
    staging: str | None
    staging_step: str | None
    waits_until: str | None
    quarantine: dict[str, int]
    crashes: int
    trial_starts: int
    slots: Annotated[tuple[SlotFound, ...], AsTuple]
    golden_run: Checked
    session: Session | None
    desired: Desired | None


class Diagnosis(Declared):
    """One device, at one moment."""

    format: Literal["muster-diagnosis/v1"] = "muster-diagnosis/v1"
    at: str
    device_id: str
    device_class: str
    label_keys: Annotated[tuple[str, ...], AsTuple]
    server: str
    server_answers: Checked
    agent_runs: bool
    journal: Literal["fresh", "whole", "from backup", "lost"]
    problem: str | None
    downloads: int
    waiting_reports: int
    versions: dict[str, str]
    providers: Annotated[tuple[str, ...], AsTuple]
    disk: Space
    memory: Memory
    thermal_state: Thermal
    metadata: Annotated[tuple[Role, ...], AsTuple]
    models: Annotated[tuple[ModelDiagnosis, ...], AsTuple]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that is not as it should be, device first."""
        found = list(_device_findings(self))
        for model in self.models:
            found += _model_findings(model, self.providers)
        return tuple(found)


def _device_findings(found: Diagnosis) -> list[Finding]:
    findings = []
    if not found.agent_runs:
        findings.append(Finding(code=None, where="agent", what="no agent runs on this folder"))
    if found.journal in ("lost", "from backup"):
        code = "journal_lost" if found.journal == "lost" else "journal_restored"
        findings.append(Finding(code=code, where="journal", what=f"the journal is {found.journal}"))
    if found.problem:
        findings.append(Finding(code=found.problem, where="last poll", what="the agent's last poll brought nothing"))
    findings += _of(found.server_answers, "server")
    # What the server could not be asked for anew may have expired meanwhile; freshness is what the agent goes by.
    findings += [
        Finding(code="metadata_expired", where=f"tuf/{role.role}", what=f"expired at {role.expires}")
        for role in found.metadata
        if role.expired
    ]
    if found.thermal_state in ("serious", "critical"):
        findings.append(Finding(code=None, where="heat", what=f"the thermal state is {found.thermal_state}"))
    return findings


def _model_findings(model: ModelDiagnosis, providers: tuple[str, ...]) -> list[Finding]:
    findings = []
    for slot in model.slots:
        where = f"{model.model} {slot.role} {slot.release}"
        if slot.damaged or not slot.present:
            what = f"changed: {', '.join(slot.damaged)}" if slot.present else "its files are gone"
            findings.append(Finding(code="slot_damaged", where=where, what=what))
        findings += _of(slot.signature, where)
    findings += _of(model.golden_run, f"{model.model} golden run")
    if model.session and model.session.refused:
        refused = model.session.refused
        findings.append(Finding(code=refused.error_code, where=f"{model.model} application", what="it refuses a slot"))
    if model.desired and model.desired.problem:
        findings.append(Finding(code=model.desired.problem, where=f"{model.model} desired", what=model.desired.step))
    for offer in model.desired.offers if model.desired else ():
        if offer.in_share and not offer.provider_present:
            what = f"{offer.provider} is none of {', '.join(providers) or 'none'}"
            findings.append(Finding(code="provider_missing", where=f"{model.model} {offer.release}", what=what))
        if offer.in_share and not (offer.kept or offer.fits_disk):
            what = f"no room for {offer.size} bytes, which are there twice while they are verified"
            findings.append(Finding(code="disk_full", where=f"{model.model} {offer.release}", what=what))
    return findings


def _of(checked: Checked, where: str) -> list[Finding]:
    if checked.result != "failed":
        return []
    return [Finding(code=checked.code, where=where, what=checked.why or "it failed")]

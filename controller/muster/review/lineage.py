"""Lineage across what is declared and what runs: from a device, a release or a digest, down to data, and back up.

The walk over pins is `check.trace`; here it meets evidence and approvals at a commit, and what devices report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from muster.check.trace import Step, descent, naming
from muster.forge.git.approvals import signed_approvals
from muster.kinds.digest import hex_of
from muster.kinds.errors import Refused
from muster.kinds.evidence import LARGEST
from muster.kinds.fleet import Fleet
from muster.kinds.release import Release
from muster.source.git import Repository

MOST_COMMITS: Final = 200
MOST_EVIDENCE: Final = 64


@dataclass(frozen=True)
class Running:
    """What one device runs of one model, by its own report. `release` is None if no known release has these bytes."""

    device: str
    device_class: str
    model: str
    release: str | None
    model_hash: str | None
    phase: str | None
    last_seen: str | None


@dataclass(frozen=True)
class Ground:
    """Where to look: a fleet at a commit of a repository, and what runs. `running` is None where nobody was asked."""

    repository: Repository
    commit: str
    fleet: Fleet
    running: Sequence[Running] | None


def trace(ground: Ground, thing: str) -> dict[str, Any]:
    """Everything about a device, a release (`MODEL/VERSION`), a digest, a commit or a training run.

    Raises `Refused` if nothing is called so.
    """
    devices = [one for one in ground.running or () if one.device == thing]
    if devices:
        return {"asked": thing, "is": ["device"], "runs": [_device(ground, one) for one in devices]}
    release = ground.fleet.release(thing)
    if release is not None:
        return {"asked": thing, "is": ["release"], "releases": [_release(ground, release, ("release",))]}
    found = naming(ground.fleet.releases, thing)
    if not found:
        strays = [one for one in ground.running or () if one.model_hash == thing]
        if strays:
            return {"asked": thing, "is": ["model"], "runs": [_device(ground, one) for one in strays]}
        raise Refused(f"nothing here is called {thing}", _looked(ground))
    roles = sorted({role for one in found for role in one.roles})
    return {"asked": thing, "is": roles, "releases": [_release(ground, one.release, one.roles) for one in found]}


def running_of(states: Iterable[Mapping[str, Any]], releases: Sequence[Release]) -> tuple[Running, ...]:
    """What devices run, from their states as a controller tells them (`/v1/devices`).

    A release counts as what runs if model and config are its own: a report's bytes, and not what was offered. Where two
    releases came to the same bytes, from other data perhaps, a device runs both.
    """
    names: dict[tuple[str, str], list[str | None]] = {}
    for release in releases:
        names.setdefault((release.spec.stages.quantized, release.spec.config_version), []).append(release.name)
    found = []
    for state in states:
        told = state.get("telemetry") or {}
        pins = str(told.get("model_hash")), str(told.get("config_version"))
        found += [
            Running(
                device=str(state["deviceId"]),
                device_class=str(state["deviceClass"]),
                model=str(state["model"]),
                release=name,
                model_hash=told.get("model_hash"),
                phase=state.get("phase"),
                last_seen=state.get("lastSeen"),
            )
            for name in names.get(pins, [None])
        ]
    return tuple(found)


def _looked(ground: Ground) -> str:
    where = f"looked at {len(ground.fleet.releases)} releases at {ground.commit[:12]}"
    if ground.running is None:
        return f"{where}; devices are known where a controller answers: --server, or its --state"
    return f"{where} and {len({one.device for one in ground.running})} devices"


def _device(ground: Ground, one: Running) -> dict[str, Any]:
    release = ground.fleet.release(one.release) if one.release else None
    told = {
        "device": one.device,
        "deviceClass": one.device_class,
        "model": one.model,
        "modelHash": one.model_hash,
        "phase": one.phase,
        "lastSeen": one.last_seen,
    }
    return {**told, "release": _release(ground, release, ("running",)) if release else None}


def _release(ground: Ground, release: Release, roles: Sequence[str]) -> dict[str, Any]:
    """A release down to its data, with who vouched for it and approved it; and up to who runs it."""
    merged = ground.repository.log(release.path, MOST_COMMITS, ground.commit, first_parent=True)
    commits = ground.repository.log(release.path, MOST_COMMITS, ground.commit)
    # Approvals are given to the heads that were merged.
    approvable = dict.fromkeys(name for one in (*merged, *commits) for name in (one.commit, *one.parents[1:]))
    keys = ground.fleet.signing_keys
    approvals = [
        {"by": one.by, "of": one.of or "change", "at": one.at.isoformat(), "commit": one.commit}
        for name in approvable
        for one in signed_approvals(ground.repository, name, ground.fleet.owners, keys)
    ]
    return {
        "release": release.name,
        "as": list(roles),
        "descent": [_step(step) for step in descent(release)],
        "evidence": _evidence(ground, release),
        "commits": [
            {"commit": one.commit, "at": one.at.isoformat(), "author": one.author, "subject": one.subject}
            for one in commits
        ],
        "approvals": approvals,
        "devices": _devices(ground, release),
    }


def _evidence(ground: Ground, release: Release) -> list[dict[str, Any]]:
    from muster.attest.evidence import read_evidence
    from muster.review.keyless import keyless_of

    entries = [
        entry
        for entry in ground.repository.tree(ground.commit, [f"evidence/{hex_of(release.spec.artifact.digest)}"])
        if entry.mode.startswith("100") and entry.size <= LARGEST
    ][:MOST_EVIDENCE]
    contents = ground.repository.blobs(entry.blob for entry in entries)
    keys, keyless = ground.fleet.signing_keys, keyless_of(ground.repository, ground.commit, ground.fleet, "evidence")
    found = [read_evidence(entry.path, contents[entry.blob], keys, keyless) for entry in entries]
    return [
        {"file": one.path, "type": one.predicate_type, "signer": one.signer, "problem": one.problem} for one in found
    ]


def _devices(ground: Ground, release: Release) -> list[dict[str, Any]] | None:
    if ground.running is None:
        return None
    return [
        {"device": one.device, "deviceClass": one.device_class, "phase": one.phase, "lastSeen": one.last_seen}
        for one in ground.running
        if one.release == release.name
    ]


def _step(step: Step) -> dict[str, str]:
    return {"what": step.what, "id": step.id, "note": step.note}

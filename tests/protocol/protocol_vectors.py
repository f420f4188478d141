"""Writes the test vectors of the protocol below tests/vectors/, from this program; `--check` only compares.

    python tests/protocol/protocol_vectors.py [--check]

bucket.json and turn.json are not written here: they were made once, and may never change.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
sys.path[:0] = [str(VECTORS.parents[1] / "controller")]

from muster.agent.decide import Keep, Return, Stage, decide  # noqa: E402
from muster.agent.journal import ModelState, Slot, Trial  # noqa: E402
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, MANIFEST, MODEL, pack_bundle  # noqa: E402
from muster.kinds.canonical import canonical_json  # noqa: E402
from muster.kinds.desired import DesiredDocument, Entry  # noqa: E402
from muster.kinds.digest import digest_of  # noqa: E402
from muster.plan.assignment import bucket, choose, cohort_of  # noqa: E402

MODEL_NAME = "meter-reader"


def pin(text: str) -> str:
    """A digest, as good as any."""
    return digest_of(text.encode())


def entry(version: str, ppm: Mapping[str, int], since: int = 1, salt: str | None = None) -> dict[str, Any]:
    """An entry of a desired document, as JSON holds it."""
    return {
        "release": f"{MODEL_NAME}/{version}",
        "version": version,
        "since": since,
        "artifact": {"digest": pin(f"artifact {version}"), "size": 10_240},
        "modelHash": pin(f"model {version}"),
        "configVersion": pin("config"),
        "runtimeVersion": "1.31.1",
        "provider": "CPUExecutionProvider",
        "healthWindow": "1m",
        "salt": salt or f"{MODEL_NAME}/{version}",
        "ppm": dict(ppm),
    }


def document(entries: list[dict[str, Any]], halted: tuple[str, ...] = (), generation: int = 9) -> dict[str, Any]:
    """A desired document, as JSON holds it. `halted`: versions."""
    return {
        "apiVersion": "muster/v1",
        "kind": "DesiredDocument",
        "model": MODEL_NAME,
        "deviceClass": "cam-day",
        "generation": generation,
        "commit": "0" * 40,
        "pollInterval": "5m",
        "cohorts": [
            {"name": "canary", "selector": {"matchLabels": {"ring": "canary", "site": "north"}}},
            {"name": "fleet", "selector": {"matchLabels": {}}},
        ],
        "entries": entries,
        "halted": [
            {"release": f"{MODEL_NAME}/{version}", "artifact": pin(f"artifact {version}"), "reason": "latency"}
            for version in halted
        ],
    }


ALL = {"canary": 1_000_000, "fleet": 1_000_000}
NOBODY = {"canary": 0, "fleet": 0}
CANARY = {"ring": "canary", "site": "north"}
TWO = [entry("1.1.0", {"canary": 1_000_000, "fleet": 250_000}, since=5), entry("1.0.0", ALL)]
BACK = [entry("1.0.0", ALL), entry("1.1.0", NOBODY, since=5)]
AGAIN = [entry("1.1.0", ALL, since=8), entry("1.0.0", ALL)]

# name → (device id, labels, document, state of the device: versions, and version → generation that it failed at).
CASES: dict[str, tuple[str, Mapping[str, str], dict[str, Any], dict[str, Any]]] = {
    "the first entry whose share includes it": ("dev-1", CANARY, document(TWO), {}),
    "both labels are asked for": ("dev-1", {"ring": "canary"}, document(TWO), {}),
    "inside a quarter of the fleet": ("dev-11", {}, document(TWO), {}),
    "outside of it": ("dev-2", {}, document(TWO), {}),
    "ids are bytes of UTF-8, whatever they hold": ("AA:BB:CC:DD:EE:FF", {"ring": "other"}, document(TWO), {}),
    "a sticky salt": ("dev-1", {}, document([entry("1.1.0", {"fleet": 500_000}, salt="sticky/early")]), {}),
    "no share for its cohort": ("dev-1", CANARY, document([entry("1.1.0", {"fleet": 1_000_000})]), {}),
    "nothing on offer": ("dev-1", {}, document([]), {}),
    "nothing on offer leaves what runs": ("dev-1", {}, document([]), {"confirmed": "1.0.0"}),
    "it runs what it should": ("dev-1", CANARY, document(TWO), {"confirmed": "1.1.0", "previous": "1.0.0"}),
    "a newer release": ("dev-1", CANARY, document(TWO), {"confirmed": "1.0.0"}),
    "the trial is what runs": ("dev-1", CANARY, document(TWO), {"confirmed": "1.0.0", "trial": "1.1.0"}),
    "halted on trial: back to the confirmed one": (
        "dev-1", CANARY, document(TWO, ("1.1.0",)), {"confirmed": "1.0.0", "trial": "1.1.0"},
    ),
    "halted when confirmed: back to the one before": (
        "dev-1", CANARY, document(TWO, ("1.1.0",)), {"confirmed": "1.1.0", "previous": "1.0.0"},
    ),
    "halted, and nothing kept: the next entry is fetched": (
        "dev-1", CANARY, document(TWO, ("1.1.0",)), {"confirmed": "1.1.0"},
    ),
    "halted, and nothing else on offer: it keeps running": (
        "dev-1", CANARY, document([TWO[0]], ("1.1.0",)), {"confirmed": "1.1.0"},
    ),
    "a newer kept slot is no refuge": (
        "dev-1", CANARY, document([], ("1.0.0",)), {"confirmed": "1.0.0", "previous": "1.1.0"},
    ),
    "rolled back by a revert: the kept slot, without a download": (
        "dev-1", CANARY, document(BACK), {"confirmed": "1.1.0", "previous": "1.0.0"},
    ),
    "rolled back by a revert, and nothing kept": ("dev-1", CANARY, document(BACK), {"confirmed": "1.1.0"}),
    "failed here before: the next entry": (
        "dev-1", CANARY, document(TWO), {"confirmed": "1.0.0", "quarantine": {"1.1.0": 5}},
    ),
    "failed here, and nothing else": (
        "dev-1", CANARY, document([TWO[0]]), {"quarantine": {"1.1.0": 7}},
    ),
    "named again on purpose since it failed": (
        "dev-1", CANARY, document(AGAIN), {"confirmed": "1.0.0", "quarantine": {"1.1.0": 7}},
    ),
    "named again in the generation that it failed at": (
        "dev-1", CANARY, document(AGAIN), {"confirmed": "1.0.0", "quarantine": {"1.1.0": 8}},
    ),
    "a kept slot that is newer is tried anew": (
        "dev-1", CANARY, document(AGAIN), {"confirmed": "1.0.0", "previous": "1.1.0"},
    ),
}  # fmt: skip


def state_of(said: Mapping[str, Any]) -> ModelState:
    """What the agent's journal would hold."""

    def slot(version: str | None) -> Slot | None:
        if version is None:
            return None
        return Slot(entry=Entry.model_validate(entry(version, {}) | {"healthWindow": 60_000_000}), manifest=pin(""))

    trial = slot(said.get("trial"))
    return ModelState(
        confirmed=slot(said.get("confirmed")),
        previous=slot(said.get("previous")),
        trial=Trial(slot=trial) if trial else None,
        quarantine={pin(f"artifact {version}"): at for version, at in said.get("quarantine", {}).items()},
    )


def decided(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the agent does, in words of JSON. `desired`: of the document alone, before halts and quarantine."""
    found = DesiredDocument.model_validate_json(json.dumps(said["document"]))
    desired = choose(found, said["deviceId"], said["labels"])
    answer = {"cohort": cohort_of(found.cohorts, said["labels"]), "desired": desired.release if desired else None}
    match decide(state_of(said["state"]), found, said["deviceId"], said["labels"]):
        case Keep(problem):
            return answer | {"step": "keep", "problem": problem}
        case Return(slot, recalled, proven):
            return answer | {"step": "return", "to": slot.entry.release, "recalled": recalled, "proven": proven}
        case Stage(taken, recalled):
            return answer | {"step": "stage", "to": taken.release, "recalled": recalled}


def decisions() -> dict[str, Any]:
    """Devices, documents, and what follows."""
    cases = []
    for name, (device_id, labels, wanted, state) in CASES.items():
        said = {"name": name, "deviceId": device_id, "labels": dict(labels), "document": wanted, "state": state}
        salts = {one["salt"]: bucket(one["salt"], device_id) for one in wanted["entries"]}
        cases.append({**said, "buckets": salts, "expected": decided(said)})
    return {
        "description": "state: versions that the device keeps; quarantine: version to the generation at which it "
        "failed. The artifact of a version is the one that its entry names in this file.",
        "vectors": cases,
    }


def documents() -> dict[str, Any]:
    """One document with everything that it may hold, and what makes a document one that is not followed."""
    whole = document(TWO, ("1.2.0",))
    drift = {"action": "Correct", "rules": [], "known": [{"modelHash": pin("model 1.0.0"), "configVersion": pin("c")}]}
    window = {"days": ["Mon", "Sun"], "from": "22:00", "to": "04:30"}
    more = {"drift": drift, "maintenance": [window], "disruption": {"label": "site", "share": "20%", "turn": "10m"}}
    first, second = whole["entries"]
    wrong: dict[str, dict[str, Any]] = {
        "a field that nobody knows": {"extra": 1},
        "no generation": {"generation": None},
        "generation zero": {"generation": 0},
        "a generation that a double cannot hold": {"generation": 2**53},
        "a generation as text": {"generation": "9"},
        "a generation with a fraction": {"generation": 9.5},
        "another version of the format": {"apiVersion": "muster/v2"},
        "another kind": {"kind": "Release"},
        "a name that leaves its folder": {"model": "../meter-reader"},
        "a short commit": {"commit": "abc"},
        "a duration without unit": {"pollInterval": "300"},
        "a share above everything": {"entries": [{**first, "ppm": {"fleet": 1_000_001}}, second]},
        "a share below nothing": {"entries": [{**first, "ppm": {"fleet": -1}}, second]},
        "a digest in capitals": {"halted": [{**whole["halted"][0], "artifact": "sha256:" + "A" * 64}]},
        "a version with a leading zero": {"entries": [{**first, "version": "1.01.0"}, second]},
        "an artifact of no bytes": {"entries": [{**first, "artifact": {**first["artifact"], "size": 0}}]},
        "seventeen windows": {"maintenance": [window] * 17},
    }
    return {
        "description": "Documents that are followed, and changes to fields of the last one, each of which makes "
        "a device report document_invalid.",
        "valid": [{"name": "the least", "document": document([])}, {"name": "everything", "document": whole | more}],
        "invalid": [{"name": name, "change": value} for name, value in wrong.items()],
    }


def reports() -> dict[str, Any]:
    """Reports that are taken, and reports that are not."""
    least: dict[str, Any] = {
        "device_id": "dev-1", "sequence": 1, "model": MODEL_NAME, "device_class": "cam-day", "generation": 0,
        "release": None, "phase": None, "model_hash": None, "config_version": None, "runtime_version": "1.31.1",
    }  # fmt: skip
    whole: dict[str, Any] = least | {
        "sequence": 2**53 - 1, "generation": 9, "release": f"{MODEL_NAME}/1.1.0", "phase": "rolled-back",
        "error_code": "low_confidence", "model_hash": pin("model 1.0.0"), "config_version": pin("config"),
        "delegate_active": "CPUExecutionProvider", "load_time_ms": 12.5, "p50_ms": 1.25, "p95_ms": 2, "peak_ram_mb": 81,
        "dropped_frames": 3, "thermal_state": "fair", "inferences": 12_000, "confident_ppm": 934_000, "downloads": 2,
        "os_version": "12.4", "crashes": 1, "fallback_ppm": 1_000, "accepted": 90, "corrected": 10,
        "confidence_histogram": [0, 0, 0, 0, 0, 1, 2, 3, 4, 90], "values": {"battery-percent": 71.5},
        "waits_until": "2026-11-21T22:00:00Z",
    }  # fmt: skip
    changes: dict[str, dict[str, Any]] = {
        "a field that nobody knows": {"extra": 1},
        "sequence zero": {"sequence": 0},
        "a sequence that a double cannot hold": {"sequence": 2**53},
        "a sequence as text": {"sequence": "7"},
        "a phase that nobody knows": {"phase": "rebooted"},
        "a release without version": {"release": MODEL_NAME},
        "an error code in capitals": {"error_code": "LOAD_FAILED"},
        "a digest without its algorithm": {"model_hash": "0" * 64},
        "a negative time": {"p50_ms": -0.5},
        "a time above a day": {"load_time_ms": 86_400_001},
        "a share above everything": {"confident_ppm": 1_000_001},
        "a histogram of nine": {"confidence_histogram": [1] * 9},
        "seventeen numbers of the application": {"values": {f"n{number}": 1 for number in range(17)}},
        "a time with an offset": {"waits_until": "2026-11-21T22:00:00+01:00"},
        "a count with a fraction": {"inferences": 1.5},
    }
    return {
        "description": "Reports, each as one element of the list that is posted to /v1/reports, and changes to "
        "fields of the last one, each of which makes the server refuse the list with 422.",
        "valid": [{"name": "the least", "report": least}, {"name": "everything", "report": whole}],
        "invalid": [{"name": name, "change": change} for name, change in changes.items()],
    }


def canonical() -> dict[str, Any]:
    """Values, their bytes, and the digest of those."""
    values: list[Any] = [
        {}, [], "", None, True, False, 0, -1, 2**53 - 1, {"b": 1, "a": [1, {"d": None, "c": "x"}]},
        "é\u20ac\U0001f600", 'quote " back \\ slash / tab \t line \n bell \x07', {"é": 1, "z": 2, "a": 3},
        {"\ue000": 1, "\U0001f600": 2},
    ]  # fmt: skip
    return {
        "description": "RFC 8785, for values without fractions: canonical is UTF-8.",
        "vectors": [
            {"value": value, "canonical": canonical_json(value).decode(), "sha256": digest_of(canonical_json(value))}
            for value in values
        ],
    }


def bundles() -> dict[str, Any]:
    """Small bundles: their files, headers and digest."""
    files = {
        CONFIG: b"{}", GOLDEN_EXPECTED: b"e" * 511, GOLDEN_INPUTS: b"i" * 512, MANIFEST: b"m" * 513, MODEL: b"o",
    }  # fmt: skip
    data = pack_bundle(files)
    described, at = [], 0
    for name in sorted(files):
        size = len(files[name])
        described.append({"name": name, "content": files[name].decode(), "header": data[at : at + 512].hex()})
        at += 512 + size + -size % 512
    return {
        "description": "One bundle: its five files in order, the 512 bytes before each, its length and digest.",
        "files": described,
        "length": len(data),
        "sha256": digest_of(data),
    }


FILES = {
    "decision.json": decisions,
    "desired.json": documents,
    "report.json": reports,
    "canonical.json": canonical,
    "bundle.json": bundles,
}


def text_of(value: Any) -> str:
    """As the files hold it."""
    return json.dumps(value, indent=1, ensure_ascii=True) + "\n"


def main() -> int:
    """Write them, or exit 1 if one is stale."""
    stale = 0
    for name, make in FILES.items():
        text, path = text_of(make()), VECTORS / name
        if "--check" not in sys.argv:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.stderr.write(f"stale: {path}\n")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())

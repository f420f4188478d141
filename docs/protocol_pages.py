"""The tables of docs/protocol.md: fields with their types and bounds, phases, codes, files and times, from the code.

A field that is added to a kind has no meaning here yet, and makes `python docs/generate.py` fail until it has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from muster.agent import agent, delivery, health, journal, model_on_device, promotion, schedule
from muster.agent import server as agent_server
from muster.agent.identity import ROOT_LIMIT
from muster.agent.telemetry import SPOOL
from muster.apply.tuf_metadata import LIVES
from muster.artifacts.bundle import LIMITS
from muster.artifacts.manifest import Manifest
from muster.attest.dsse import LARGEST as LARGEST_SIGNATURE
from muster.kinds.cohort import MOST_COHORTS, MOST_ENTRIES
from muster.kinds.desired import DesiredDocument
from muster.kinds.drift import MOST_KNOWN, MOST_RULES
from muster.kinds.error_codes import ERROR_CODES
from muster.kinds.maintenance import MOST_WINDOWS
from muster.kinds.phases import CONCLUDED, TRANSITIONS
from muster.kinds.release import Inference
from muster.kinds.telemetry import Report
from muster.observe.inventory import Enrolment
from muster.serve import device_routes, enrolment_routes

DESIRED = {
    "apiVersion": "version of this format",
    "kind": "",
    "model": "must be the one asked for, else `document_invalid`",
    "deviceClass": "the same",
    "generation": "never goes down; below the device's own: `generation_older`, and nothing is done",
    "commit": "what was declared, for people",
    "pollInterval": "how long between two polls",
    "cohorts": "in order: the device is of the first that fits",
    "cohorts[].name": "",
    "cohorts[].selector": "",
    "cohorts[].selector.matchLabels": "labels that the device must all have, with these values; empty: every device",
    "entries": "releases on offer, newest first",
    "entries[].release": "`<model>/<version>`",
    "entries[].version": "",
    "entries[].since": "the generation at which it came, or came back, on offer; see quarantine",
    "entries[].artifact": "",
    "entries[].artifact.digest": "of the bundle",
    "entries[].artifact.size": "bytes of the bundle",
    "entries[].modelHash": "of `model.onnx` in the bundle",
    "entries[].configVersion": "of `config.json` in the bundle",
    "entries[].runtimeVersion": "of the runtime that it was built and tested for",
    "entries[].provider": "what must run it: no other one is taken in its place",
    "entries[].healthWindow": "how long the trial lasts at least",
    "entries[].salt": "for the bucket",
    "entries[].ppm": "cohort → share, parts per million; a cohort that is missing has 0",
    "entries[].logPredictions": "the application is to log each answer",
    "halted": "releases that are left at once",
    "halted[].release": "",
    "halted[].artifact": "what counts: the digest",
    "halted[].reason": "for people",
    "drift": "what to do if the device runs what was never declared; absent: follow the document",
    "drift.action": "where no rule fits",
    "drift.rules": "tried in order",
    "drift.rules[].field": "what differs",
    "drift.rules[].action": "`Correct`: follow the document; `Warn`, `Ignore`: keep what runs",
    "drift.rules[].values": "only where the device has one of these; empty: any",
    "drift.rules[].why": "for people",
    "drift.known": "what is no drift",
    "drift.known[].modelHash": "",
    "drift.known[].configVersion": "",
    "drift.known[].runtimeVersion": "null: any",
    "maintenance": "windows in which the device may switch, by its wall clock; none: always",
    "maintenance[].days": "on which the window begins; none: every day",
    "maintenance[].from": "",
    "maintenance[].to": "exclusive; not later than `from`: of the next day",
    "disruption": "turns among the devices of a site; absent: none",
    "disruption.label": "the label whose value is the site",
    "disruption.share": "of the site that may switch at once",
    "disruption.turn": "length of a turn",
    "capture": "what samples may be taken for, with consent; none: nothing is taken",
    "capture[].purpose": "consent is given for each",
    "capture[].model": "",
    "capture[].statement": "what people are asked to consent to",
    "capture[].confidenceBelow": "take answers below it; null: not for that",
    "capture[].disagreement": "take answers that somebody corrected",
    "capture[].share": "of those that fit",
    "capture[].most": "samples that wait on the device",
    "capture[].size": "of them together",
    "capture[].expiry": "on the device",
    "capture[].keep": "on the server",
    "capture[].conditions": "what must hold before anything is sent",
    "capture[].conditions.unmetered": "",
    "capture[].conditions.charging": "",
}
REPORT = {
    "device_id": "the caller's own",
    "sequence": "rises with every report, is never used twice; gaps do no harm",
    "model": "one of those enrolled",
    "device_class": "the one enrolled",
    "generation": "of the document that the device follows; 0: none yet",
    "release": "which one `phase` is about; null: nothing is on the device",
    "phase": "how far the device came with it",
    "error_code": "see below",
    "model_hash": "of the bytes that the session loaded; null: none runs",
    "config_version": "of the inference config in use; null: none",
    "runtime_version": "of the device's runtime",
    "delegate_active": "execution provider in use",
    "load_time_ms": "ms, until the session stood",
    "p50_ms": "ms, median inference",
    "p95_ms": "ms",
    "peak_ram_mb": "MB, highest resident set of the process",
    "dropped_frames": "count since the start",
    "thermal_state": "",
    "inferences": "count",
    "confident_ppm": "share of recent answers that reach the declared confidence",
    "downloads": "artifacts fetched in full since the device was set up",
    "os_version": "",
    "crashes": "unasked ends since the model was switched in",
    "fallback_ppm": "share of inputs answered by other means",
    "confidence_histogram": "recent answers by confidence, in tenths",
    "accepted": "outputs that people let stand",
    "corrected": "outputs that people corrected",
    "values": "the application's own numbers, under declared keys",
    "waits_until": "UTC; when the device may switch",
    "transfer": "with `downloaded`: how the artifact came",
    "transferred": "with it: bytes that were fetched",
}
ENROLMENT = {
    "device_id": "",
    "device_class": "one that is declared",
    "labels": "what the device says of itself; none below `fleet/`",
    "models": "what it will ask for",
    "token": "of its class; null where a certificate or a registration speaks for it",
    "secret": "made by the device: 256 random bits",
}
MANIFEST = {
    "apiVersion": "",
    "kind": "",
    "model": "",
    "version": "with `model`: the entry's `release`",
    "onnx": "",
    "onnx.opset": "",
    "onnx.ir": "",
    "goldenTolerance": "how far a golden score may lie off",
    "files": "the four other files, by name; each a digest and a size as in an entry's `artifact`",
}
CONFIG = {
    "input": "",
    "input.name": "of the model's input",
    "input.shape": "without the first axis, which counts frames; float32",
    "input.normalization": "",
    "input.normalization.kind": "`scale`: value / divisor; `stretch`: value / the frame's largest (0 if that is 0)",
    "input.normalization.divisor": "",
    "output": "",
    "output.name": "of the scores",
    "output.labels": "one score each",
    "output.postprocessing": "the label with the highest score, the first of them; its score is the confidence",
    "thresholds": "",
    "thresholds.confidence": "an answer below it is not used",
    "thresholds.minConfident": "share of answers that must reach it in the trial",
}


def desired() -> str:
    """The fields of a desired document."""
    return _table(DesiredDocument, DESIRED)


def report() -> str:
    """The fields of a report."""
    return _table(Report, REPORT)


def enrolment() -> str:
    """The fields of an enrolment."""
    return _table(Enrolment, ENROLMENT)


def manifest() -> str:
    """The fields of a bundle's manifest."""
    return _table(Manifest, MANIFEST)


def config() -> str:
    """The fields of a bundle's inference config."""
    return _table(Inference, CONFIG)


def _table(kind: type[BaseModel], meanings: Mapping[str, str]) -> str:
    """One row for each field. Raises `LookupError` for a field without a meaning, or a meaning without its field."""
    schema = kind.model_json_schema(by_alias=True)
    rows = list(_rows(schema, schema, ""))
    names = [name for name, _, _ in rows]
    if names != [name for name in meanings if name in names] or len(names) != len(meanings):
        raise LookupError(f"{kind.__name__}: fields and meanings differ: {set(names) ^ set(meanings) or 'their order'}")
    lines = ["| field | value | required | |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {value} | {'yes' if required else ''} | {meanings[name]} |" for name, value, required in rows
    ]
    return "\n".join([*lines, ""])


def _rows(given: Mapping[str, Any], root: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, bool]]:
    for name, value in given.get("properties", {}).items():
        schema, nullable = _resolved(value, root)
        path = f"{prefix}{name}"
        said = _value(schema, root) + (", or null" if nullable else "")
        yield path, said, name in given.get("required", [])
        items, _ = _resolved(schema.get("items", {}), root)
        yield from _rows(schema, root, f"{path}.")
        yield from _rows(items, root, f"{path}[].")


def _resolved(value: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    choices = [choice for choice in value.get("anyOf", []) if choice.get("type") != "null"]
    if choices:
        return _resolved(choices[0], root)[0], len(choices) < len(value["anyOf"])
    if "$ref" in value:
        return root["$defs"][value["$ref"].rpartition("/")[2]], False
    return value, False


def _value(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """Type and bounds, in few words."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        items, _ = _resolved(schema.get("items", {}), root)
        return f"list of {_value(items, root)}{_length(schema, 'Items')}"
    if kind == "object":
        values = schema.get("additionalProperties")
        of = f" of {_value(_resolved(values, root)[0], root)}" if isinstance(values, Mapping) else ""
        return f"object{of}{_length(schema, 'Properties')}"
    if kind == "string":
        return _text(schema)
    bounds = [f"{schema[key]:,}" if key in schema else "" for key in ("minimum", "maximum")]
    return f"{'whole number' if kind == 'integer' else kind}{f' {bounds[0]}…{bounds[1]}' if any(bounds) else ''}"


def _text(schema: Mapping[str, Any]) -> str:
    if "examples" in schema:
        return " or ".join(f'`"{example}"`' for example in schema["examples"])
    if "pattern" in schema:
        pattern = schema["pattern"].replace("|", "\\|")
        return f"text `{pattern}`{_length(schema, 'Length')}"
    return f"text{_length(schema, 'Length')}"


def _length(schema: Mapping[str, Any], what: str) -> str:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if low is None and high is None:
        return ""
    return f" ({low})" if low == high else f" ({low or 0}…{'' if high is None else f'{high:,}'})"


def edges() -> str:
    """What a device reports, by the phase that it comes from."""
    lines = ["| from | what happens | reports |", "|---|---|---|"]
    lines += [
        f"| {before} | {event} | `{after}` |"
        for (before, event), after in TRANSITIONS.items()
        if event not in CONCLUDED
    ]
    return "\n".join([*lines, ""])


def codes() -> str:
    """Every error code."""
    rows = "".join(f"| `{code}` | {meaning} |\n" for code, meaning in ERROR_CODES.items())
    return f"| code | meaning |\n|---|---|\n{rows}"


def files() -> str:
    """What a bundle holds."""
    rows = "".join(f"| `{name}` | {limit:,} |\n" for name, limit in sorted(LIMITS.items()))
    return f"| file | bytes at most |\n|---|---|\n{rows}"


def lives() -> str:
    """How long each role of the metadata lives."""
    rows = "".join(f"| {role} | {life.days} |\n" for role, life in LIVES.items())
    return f"| role | days |\n|---|---|\n{rows}"


def bounds() -> str:
    """Numbers that the agent and the server keep to."""
    kept = {
        "bytes of a TUF root given at enrolment": ROOT_LIMIT,
        "bytes of a desired document": agent.DOCUMENT_LIMIT,
        "bytes of a signature": LARGEST_SIGNATURE,
        "bytes of the body of an enrolment": enrolment_routes.ENROLMENT_LIMIT,
        "reports in one request, as a JSON list": device_routes.REPORTS_PER_REQUEST,
        "bytes of that": device_routes.BODY_LIMIT,
        "reports in one request, one a line": device_routes.LINES_PER_REQUEST,
        "bytes of that, too": device_routes.LINES_LIMIT,
        "bytes of an answer to a POST": agent_server.POST_ANSWER_LIMIT,
        "reports that the agent sends in one request": delivery.BATCH,
        "reports that wait on the device; steady ones are dropped first": SPOOL,
        "sequence number of the server that the device believes": delivery.LAST_SEQUENCE,
        "artifacts that the device remembers as failed": journal.QUARANTINED,
        "attempts at one download or load before it is given up": promotion.MOST_ATTEMPTS,
        "starts of the agent with the same trial": model_on_device.MOST_STARTS,
        "answers that a trial with a camera needs, at least": health.MIN_ANSWERS,
        "seconds of poll interval before any document was read": int(agent.DEFAULT_POLL_SECONDS),
        "seconds that a pause after failures grows to": int(schedule.LONGEST),
        "seconds of Retry-After that are honoured": int(agent_server.LONGEST_PAUSE),
    }
    rows = "".join(f"| {what} | {number:,} |\n" for what, number in kept.items())
    return f"| bound | |\n|---|---|\n{rows}"


def lists() -> str:
    """How long the lists of a desired document, and of what comes with it, may be."""
    kept = {
        "`cohorts`, `ppm`": MOST_COHORTS,
        "`entries`, `halted`": MOST_ENTRIES,
        "`maintenance`": MOST_WINDOWS,
        "`drift.rules`": MOST_RULES,
        "`drift.known`": MOST_KNOWN,
    }
    rows = "".join(f"| {what} | {number:,} |\n" for what, number in kept.items())
    return f"| list | items at most |\n|---|---|\n{rows}"


PARTS = {
    "enrolment": enrolment,
    "bounds": bounds,
    "lives": lives,
    "desired": desired,
    "lists": lists,
    "files": files,
    "manifest": manifest,
    "config": config,
    "report": report,
    "edges": edges,
    "codes": codes,
}

"""Writes what the documents take from code: the diagram of phases, the table of verbs, the fields of the kinds, gates.

`python docs/generate.py` writes, `--check` only compares (exit 1 if something is stale).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ddi_pages import attributes, calls, feedback
from fault_pages import bounds, crash_points, faults
from gate_pages import gates
from guardrail_pages import deciding, guardrails, time_limits
from key_pages import attacks, conformance
from protocol_pages import PARTS
from recipe_pages import stages
from sandbox_pages import escapes

from muster.attest.ledger import chain
from muster.cli import VERBS
from muster.kinds.event_kind import EVENT_KINDS
from muster.kinds.fleet import KINDS
from muster.kinds.phases import mermaid
from muster.source.codeowners import codeowners
from muster.source.load import Loader

ROOT = Path(__file__).resolve().parent.parent

# Kind → the file of this repository that serves as its example.
EXAMPLES = {
    "Release": "releases/meter-reader/1.2.0.yaml",
    "DeviceClass": "devices/classes/cam-lowlight.yaml",
    "Cohort": "devices/cohorts/canary.yaml",
    "Policy": "policies/default.yaml",
    "Owners": "policies/owners.yaml",
    "Checklist": "policies/checklist.yaml",
    "PolicyTest": "policies/tests/complete-release.yaml",
    "Scenario": "scenarios/bad-on-bad.yaml",
}


def phases() -> str:
    """The phases as a Mermaid diagram."""
    return f"```mermaid\n{mermaid()}```\n"


def verbs() -> str:
    """The verbs as a table."""
    rows = "".join(f"| `muster {verb}` | {line} |\n" for verb, (_, line) in sorted(VERBS.items()))
    return f"| verb | what it does |\n|---|---|\n{rows}"


def events() -> str:
    """What the ledger can say, as a table."""
    rows = "".join(
        f"| `{kind.reason}` | {kind.about} | {', '.join(f'`{name}`' for name in kind.fields)} | {kind.meaning} |\n"
        for kind in EVENT_KINDS.values()
    )
    return f"| reason | about | fields | |\n|---|---|---|---|\n{rows}"


def flaws() -> str:
    """What `muster ledger verify` finds: the table of the module that does."""
    table = [line for line in (chain.__doc__ or "").splitlines() if line.startswith("|")]
    return "".join(f"{' '.join(line.split())}\n" for line in table)


def kinds() -> str:
    """Every kind: where it stands, an example, its fields."""
    return "\n".join(_kind(name) for name in KINDS)


def _kind(name: str) -> str:
    schema = KINDS[name].model_json_schema(by_alias=True)
    title = f"## {name}\n\n{_summary(schema)}\n"
    example = f"\nExample: [{EXAMPLES[name]}](../{EXAMPLES[name]})\n" if name in EXAMPLES else ""
    rows = "".join(
        f"| `{path}` | {kind} | {'yes' if required else ''} | {text} |\n"
        for path, kind, required, text in _fields(schema, schema, "")
    )
    return f"{title}{example}\n| field | value | required | |\n|---|---|---|---|\n{rows}"


def _fields(schema: dict[str, Any], root: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, bool, str]]:
    for name, given in schema.get("properties", {}).items():
        value, optional = _resolve(given, root)
        path = f"{prefix}{name}"
        required = name in schema.get("required", []) and not optional
        items, _ = _resolve(value.get("items", {}), root)
        yield path, _type(value, items), required, _summary(value)
        if "oneOf" in value:
            yield from _variants(value, root, path)
        elif "properties" in value:
            yield from _fields(value, root, f"{path}.")
        elif "properties" in items:
            yield from _fields(items, root, f"{path}[].")


def _variants(value: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[tuple[str, str, bool, str]]:
    """The fields of each kind of a value that has several, by its format."""
    for given in value["oneOf"]:
        variant, _ = _resolve(given, root)
        formats = variant["properties"]["format"]
        names = " or ".join([formats["const"]] if "const" in formats else formats["enum"])
        yield f"{path} ({names})", "", False, _summary(variant)
        for name, kind, required, text in _fields(variant, root, f"{path}."):
            yield f"{name} ({names})", kind, required, text


def _resolve(value: dict[str, Any], root: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The schema behind references and `| null`, and whether null is allowed."""
    choices = [choice for choice in value.get("anyOf", []) if choice.get("type") != "null"]
    if choices:
        return _resolve(choices[0], root)[0], True
    if "$ref" in value:
        return {**root["$defs"][value["$ref"].rpartition("/")[2]]}, False
    return value, False


def _type(value: dict[str, Any], items: dict[str, Any]) -> str:
    if "oneOf" in value:
        return "mapping"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if value.get("type") == "array":
        return f"list of {_type(items, {})}"
    if "examples" in value:
        return f'text, such as `"{value["examples"][0]}"`'
    names = {"object": "mapping", "string": "text", "integer": "number", "boolean": "true or false"}
    return names.get(str(value.get("type")), "")


def _summary(schema: dict[str, Any]) -> str:
    """The first paragraph of a description, fit for a cell."""
    text: str = schema.get("description", "").partition("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")


def owners_file() -> str:
    """CODEOWNERS, from the owners of the working tree. Raises `Refused` if it does not pass the checks."""
    owners = Loader().work_tree(ROOT).fleet_or_refuse("the working tree").owners
    assert owners is not None
    return codeowners(owners)


# Files that are generated as a whole.
FILES = {".github/CODEOWNERS": owners_file}

GENERATED = {
    ("docs/architecture.md", "phases"): phases,
    ("docs/kinds.md", "kinds"): kinds,
    ("docs/gates.md", "gates"): gates,
    ("docs/hawkbit.md", "attributes"): attributes,
    ("docs/hawkbit.md", "calls"): calls,
    ("docs/hawkbit.md", "feedback"): feedback,
    ("docs/ledger.md", "events"): events,
    ("docs/ledger.md", "flaws"): flaws,
    ("docs/guardrails.md", "guardrails"): guardrails,
    ("docs/guardrails.md", "time-limits"): time_limits,
    ("docs/guardrails.md", "deciding"): deciding,
    ("docs/reproducibility.md", "stages"): stages,
    ("docs/sandbox.md", "escapes"): escapes,
    ("docs/faults.md", "crash-points"): crash_points,
    ("docs/faults.md", "faults"): faults,
    ("docs/faults.md", "bounds"): bounds,
    ("docs/keys.md", "attacks"): attacks,
    ("docs/keys.md", "conformance"): conformance,
    **{("docs/protocol.md", f"protocol-{name}"): part for name, part in PARTS.items()},
    ("README.md", "verbs"): verbs,
}


def replace(text: str, name: str, content: str) -> str:
    """The text with `content` between the markers of `name`. Raises `ValueError` if they are missing."""
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    before, _, rest = text.partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise ValueError(f"the markers of {name} are missing")
    return f"{before}{begin}{content}{marker}{after}"


def _generated() -> Iterator[tuple[str, str, str]]:
    """(path, what of it, the file's text as it should be), one after the other: several parts may share a file."""
    for (path, name), content in GENERATED.items():
        yield path, name, replace((ROOT / path).read_text(), name, content())
    for path, whole in FILES.items():
        yield path, "all of it", whole()


def main() -> int:
    """Write or check every generated part."""
    stale = []
    for path, name, new in _generated():
        file = ROOT / path
        if not file.exists() or new != file.read_text():
            stale.append(f"{path}: {name}")
            if "--check" not in sys.argv:
                file.write_text(new)
    if stale and "--check" in sys.argv:
        print("stale, run `make docs`:", *stale, sep="\n  ")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

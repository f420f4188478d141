"""JSON Schemas of the kinds: what editors complete from, and what hints are looked up in.

Generated from the kinds, so they cannot say anything else. Three things are mended on the way: a bound on a tuple
comes out of pydantic as a bound on a text, keys that do not fit their pattern come out as allowed, and `apiVersion`
and `kind` are required in a file although they have defaults in the program.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from muster.kinds.delta import DeltaIndex
from muster.kinds.fleet import KINDS, AnyResource

DELTA_INDEX_FILE = "delta-index.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_RENAMED = {
    "array": {"minLength": "minItems", "maxLength": "maxItems"},
    "object": {"minLength": "minProperties", "maxLength": "maxProperties"},
}


def schema_file(kind: str) -> str:
    """The file name of a kind's schema: DeviceClass → device-class.json."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind).lower() + ".json"


@functools.cache
def schema_of(kind: type[AnyResource | DeltaIndex]) -> dict[str, Any]:
    """The schema of one kind (do not change it: it is kept)."""
    name = kind.__name__
    generated = kind.model_json_schema(by_alias=True)
    _mend(generated)
    generated["required"] = ["apiVersion", "kind", *generated.get("required", [])]
    return {
        "$schema": DIALECT,
        "$id": f"urn:muster:v1:{schema_file(name).removesuffix('.json')}",
        "title": f"Muster {name}",
        **{key: value for key, value in generated.items() if key != "title"},
    }


def schema_files() -> dict[str, str]:
    """File name → text of every schema."""
    return {
        schema_file(name): json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"
        for name, kind in KINDS.items()
    }


def delta_index_text() -> str:
    """The schema of delta indexes: no file in a repository holds one, but whoever writes an agent reads them."""
    return json.dumps(schema_of(DeltaIndex), indent=2, ensure_ascii=False) + "\n"


def resolve(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its reference followed, and null left out of a choice."""
    for _ in range(8):
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        elif "anyOf" in schema:
            schema = next(choice for choice in schema["anyOf"] if choice.get("type") != "null")
        else:
            break
    return schema


def schema_at(kind: type[AnyResource], path: tuple[str | int, ...]) -> dict[str, Any]:
    """The schema of the value at `path`; empty where the kind declares nothing."""
    root = schema_of(kind)
    schema = root
    for step in path:
        schema = resolve(root, schema)
        if isinstance(step, int):
            schema = schema.get("items", {})
        else:
            schema = schema.get("properties", {}).get(step) or _any_value(schema)
    return resolve(root, schema)


def _any_value(schema: dict[str, Any]) -> dict[str, Any]:
    """What a mapping with free keys holds."""
    further = schema.get("additionalProperties")
    patterns = list(schema.get("patternProperties", {}).values())
    return patterns[0] if patterns else further if isinstance(further, dict) else {}


def _mend(schema: Any) -> None:
    if isinstance(schema, list):
        for item in schema:
            _mend(item)
    elif isinstance(schema, dict):
        _mend_bounds(schema)
        for key, value in schema.items():
            if key in ("properties", "$defs"):
                for field in value.values():
                    # Titles that only repeat the field's name are noise in an editor.
                    field.pop("title", None)
                    _mend(field)
            elif key not in ("examples", "default", "enum", "required"):
                _mend(value)


def _mend_bounds(schema: dict[str, Any]) -> None:
    for old, new in _RENAMED.get(str(schema.get("type")), {}).items():
        if old in schema:
            schema[new] = schema.pop(old)
    if "patternProperties" in schema:
        schema.setdefault("additionalProperties", False)

"""Plain data to a kind; what does not fit is named with its place, what is wrong, and what would be right."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from muster.check.references import KEY
from muster.kinds import digest, resource, signing_key
from muster.kinds.finding import Finding, Place
from muster.kinds.fleet import AnyResource
from muster.source.git_program import printable
from muster.source.schema import schema_at
from muster.source.yaml_events import Document, Path

MAX_FINDINGS = 100


def _pattern_of(annotated: Any) -> str:
    return str(get_args(annotated)[1].pattern)


_PATTERN_HINTS = {
    _pattern_of(digest.Digest): 'write "sha256:" and 64 lower-case hexadecimal digits',
    _pattern_of(digest.Commit): "write the full commit id: 40 or 64 lower-case hexadecimal digits",
    _pattern_of(digest.Name): "write lower-case letters, digits and inner hyphens, 63 at most",
    _pattern_of(digest.Version): 'write major.minor.patch without leading zeros, as "1.2.0"',
    _pattern_of(digest.ExactVersion): 'write one exact version, as "1.31.1": no ranges, no wildcards',
    _pattern_of(resource.LabelKey): "write lower-case letters, digits and inner . / -, 63 at most",
    _pattern_of(resource.LabelValue): "write letters, digits and inner . _ -, 63 at most",
    _pattern_of(signing_key.PublicKeyPem): "write the PEM block as `publicKey: |` with -----BEGIN PUBLIC KEY-----",
}
_TYPE_HINTS = {
    "string_type": "write text",
    "int_type": "write a whole number, without quotes",
    "bool_type": "write true or false, without quotes",
    "tuple_type": "write a list: one `- item` per line",
    "dict_type": "write fields below it: `name: value`",
    "model_type": "write fields below it: `name: value`",
    "model_attributes_type": "write fields below it: `name: value`",
}
_BOUNDS = {
    "greater_than_equal": ("is below {ge}", "write {ge} or more"),
    "less_than_equal": ("is above {le}", "write {le} or less"),
    "string_too_short": ("is shorter than {min_length} characters", "write something"),
    "string_too_long": ("is longer than {max_length} characters", "shorten it to {max_length} characters"),
    "too_short": ("has {actual_length} entries", "give at least {min_length}"),
    "too_long": ("has {actual_length} entries", "give at most {max_length}"),
}


@dataclass(frozen=True)
class _Complaint:
    spot: tuple[int, int]
    rule: str
    message: str
    hint: str


def validate(file: str, kind: type[AnyResource], document: Document) -> AnyResource | list[Finding]:
    """The resource, or every complaint about the document (100 at most)."""
    if not isinstance(document.data, dict):
        found = [_Complaint((1, 1), "type", "the file holds no fields", "write apiVersion, kind, metadata and spec")]
        return _findings(file, found)
    found = [
        _Complaint((1, 1), "missing", f"{name} is missing", f"add `{name}: {value}`")
        for name, value in (("apiVersion", resource.API_VERSION), ("kind", kind.__name__))
        if name not in document.data
    ]
    try:
        # In JSON mode the kinds take nothing for granted: there, quantities are texts with units and nothing else.
        value = kind.model_validate_json(json.dumps(document.data), by_alias=True, by_name=False)
    except ValidationError as error:
        found += [_complaint(kind, document, one) for one in error.errors(include_url=False)[:MAX_FINDINGS]]
        if error.error_count() > MAX_FINDINGS:
            more = error.error_count() - MAX_FINDINGS
            found.append(_Complaint((0, 0), "too-many", f"{more} more complaints", "correct the ones above first"))
    else:
        if not found:
            return value
    return _findings(file, found)


def _findings(file: str, found: list[_Complaint]) -> list[Finding]:
    return [Finding(Place(file, *one.spot), one.rule, printable(one.message), printable(one.hint)) for one in found]


def _complaint(kind: type[AnyResource], document: Document, error: Any) -> _Complaint:
    path: Path = tuple(error["loc"])
    if path and path[-1] == KEY:
        return _key_complaint(document, path[:-1], error)
    if error["type"] == "missing":
        return _missing(kind, document, path)
    if error["type"] == "extra_forbidden":
        return _unknown(kind, document, path)
    return _bad_value(kind, document, path, error)


def _key_complaint(document: Document, path: Path, error: Any) -> _Complaint:
    hint = _PATTERN_HINTS.get(error.get("ctx", {}).get("pattern", ""), "write another name")
    return _Complaint(document.key_spot(path), "format", f"the key {_shown(path[-1])} is not a name", hint)


def _missing(kind: type[AnyResource], document: Document, path: Path) -> _Complaint:
    name = path[-1]
    parent = path[:-1]
    schema = schema_at(kind, path)
    spot = document.key_spot(parent) if parent else (1, 1)
    hint = f"add `{name}: {_example(schema)}`" + (f" below {_dotted(parent)}" if parent else "")
    return _Complaint(spot, "missing", f"{_dotted(path)} is missing", hint)


def _unknown(kind: type[AnyResource], document: Document, path: Path) -> _Complaint:
    known = list(schema_at(kind, path[:-1]).get("properties", {}))
    name = str(path[-1])
    close = difflib.get_close_matches(_plain(name), [_plain(one) for one in known], n=1) if len(name) <= 64 else []
    if close:
        hint = f"write {next(one for one in known if _plain(one) == close[0])}"
    else:
        hint = f"known here: {', '.join(known)}" if known else "delete it"
    return _Complaint(document.key_spot(path), "unknown-field", f"unknown field {_shown(_dotted(path))}", hint)


def _bad_value(kind: type[AnyResource], document: Document, path: Path, error: Any) -> _Complaint:
    rule, message, hint = _reason(kind, document, path, error)
    return _Complaint(document.spot(path), rule, f"{_dotted(path)}: {_cut(message)}", hint)


def _reason(kind: type[AnyResource], document: Document, path: Path, error: Any) -> tuple[str, str, str]:
    """Rule, message and hint."""
    value, context, problem = error["input"], error.get("ctx", {}), error["type"]
    bare_number = isinstance(value, int | float) and not isinstance(value, bool)
    if problem == "value_error":
        message, _, hint = str(context["error"]).partition("; ")
        hint = hint or "write a value inside its bounds"
        rule = "value" if isinstance(value, dict) else "quantity"
        return rule, message, f"{hint}; {document.written(path)} is a bare number" if bare_number else hint
    if problem == "string_pattern_mismatch":
        hint = _PATTERN_HINTS.get(context["pattern"]) or f"write what fits {context['pattern']}"
        return "format", f"{_shown(value)} has not the right form", hint
    if problem == "literal_error":
        return "choice", f"{_shown(value)} is not a choice", _choice_hint(kind, path, value, context["expected"])
    if problem == "string_type" and bare_number:
        return "type", "a number stands where text belongs", f'write it in quotes: "{document.written(path)}"'
    return _plain_reason(error) or ("value", error["msg"], f"write {_example(schema_at(kind, path))}")


def _choice_hint(kind: type[AnyResource], path: Path, value: Any, expected: str) -> str:
    """The closest choice first, then all of them."""
    choices = [str(choice) for choice in schema_at(kind, path).get("enum", [])]
    written = str(value)
    close = difflib.get_close_matches(written.lower(), choices, n=1) if len(written) <= 64 else []
    everything = expected.replace("'", '"')
    return f'did you mean "{close[0]}"? known: {everything}' if close else f"write {everything}"


def _plain_reason(error: Any) -> tuple[str, str, str] | None:
    value, context, problem = error["input"], error.get("ctx", {}), error["type"]
    if problem in _TYPE_HINTS:
        return "type", f"{_shown(value)} does not belong here", _TYPE_HINTS[problem]
    if problem in _BOUNDS:
        message, hint = (text.format(**context) for text in _BOUNDS[problem])
        return "bounds", message, hint
    return None


def _example(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " or ".join(str(choice) for choice in schema["enum"])
    if schema.get("examples"):
        return f'"{schema["examples"][0]}"'
    return {"array": "[…]", "object": "{…}", "integer": "1", "boolean": "true"}.get(str(schema.get("type")), "…")


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return _cut(text) or "the file"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "fields"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return _cut(f'"{value}"' if isinstance(value, str) else str(value))


def _cut(text: str, length: int = 160) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

"""What goes into the process and what comes out of it, both as files of JSON in its folder.

Request: `{"inputs": <BuildInputs>, "pinnedTable": digest or null}`. Result: `{"ran": <StagesRun>}` or
`{"error": {"type", "message", "hint"}}`. The result is somebody else's data: it is bounded, and every field looked at.
"""

from __future__ import annotations

import dataclasses
import json
import re
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from muster.build.hermetic.values import DECIMAL, KIND, TUPLE
from muster.build.measure import Measurement
from muster.build.pipeline import BuildInputs, StagesRun
from muster.build.stages import StageOutcome
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable

MAX_RESULT: Final = 2**20
_MAX_TEXT: Final = 2_000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ERRORS: Final[dict[str, type[MusterError]]] = {"Refused": Refused, "TryAgain": TryAgain, "Unusable": Unusable}


def write_request(inputs: BuildInputs, pinned_table: str | None) -> bytes:
    """The request."""
    fields = {field.name: _plain(getattr(inputs, field.name)) for field in dataclasses.fields(inputs)}
    return canonical_json({"inputs": fields, "pinnedTable": pinned_table})


def read_result(data: bytes, described: str) -> StagesRun:
    """What the process found. Raises the error that it tells of, `Unusable` for a result that is none."""
    try:
        value: Any = json.loads(data) if len(data) <= MAX_RESULT else None
        if "error" in value:
            raise _error(value["error"])
        ran = value["ran"]
        outputs = {str(name): _digest(digest) for name, digest in ran["outputs"].items()}
        stages = TypeAdapter(tuple[StageOutcome, ...]).validate_python(ran["stages"])
        measurement = TypeAdapter(Measurement).validate_python(ran["measurement"])
        tools = {str(name): str(version) for name, version in ran["tools"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise Unusable(f"{described} left no result that can be read", "build again; report it if it stays") from error
    return StagesRun(outputs, stages, measurement, tools)


def _error(value: Any) -> MusterError:
    message, hint = value["message"], value["hint"]
    if not isinstance(message, str) or not isinstance(hint, str | None):
        raise TypeError("no error")
    kind = _ERRORS[value["type"]]
    return kind(message[:_MAX_TEXT], hint and hint[:_MAX_TEXT])


def _digest(value: Any) -> Any:
    if value is not None and not _DIGEST.fullmatch(value):
        raise ValueError(f"no digest: {value!r}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {KIND: _attributes(value), "dump": value.model_dump(mode="json")}
    if isinstance(value, Decimal):
        return {DECIMAL: str(value)}
    if isinstance(value, tuple):
        return {TUPLE: [_plain(item) for item in value]}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _attributes(kind: BaseModel) -> dict[str, Any]:
    names = list(type(kind).model_fields)
    for ancestor in type(kind).__mro__:
        if issubclass(ancestor, BaseModel) and ancestor is not BaseModel:
            names += [name for name, member in vars(ancestor).items() if isinstance(member, property)]
    return {name: _plain(getattr(kind, name)) for name in names}

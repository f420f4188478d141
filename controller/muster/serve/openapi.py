"""The OpenAPI document: made from the application's own route table, and from the types that its handlers read.

Raises `LookupError` for a route that nobody described: see `operations`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from starlette.routing import BaseRoute, Mount, Route

from muster import __version__
from muster.serve.operations import Answer, ErrorAnswer, Operation

VERSION = "3.1.0"
_REF = "#/components/schemas/{model}"
_SCHEMES = {
    "device": {"type": "http", "scheme": "bearer", "description": "The device's id, a colon, and its secret."},
    "operator": {"type": "http", "scheme": "bearer", "description": "The operator token of the state folder."},
    "updateClient": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "TargetToken and the device's secret, or GatewayToken and the gateway's; a space between.",
    },
}
_BY_CALLER: dict[str, tuple[int, ...]] = {
    "anyone": (),
    "device": (400, 401, 429),
    "operator": (401, 429),
    "updateClient": (400, 401, 429),
}
_INVALID = {"updateClient": 400}
"""What answers input that is not as described; 422 to other callers."""
_RETRY = (429, 503)


def operations_of(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str, Operation]]:
    """(path, method in lower case, operation) of every route. HEAD is answered where GET is, and not written down."""
    for route in routes:
        if isinstance(route, Mount):
            if route.routes:
                for path, method, operation in operations_of(route.routes):
                    yield route.path + path, method, operation
            else:
                yield f"{route.path}/{{path}}", "get", _operation(route, route.app)
        elif isinstance(route, Route):
            path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
            for method in sorted((route.methods or set()) - {"HEAD"}):
                yield path, method.lower(), _operation(route, route.endpoint)
        else:
            # No TypeError: it is missing here, as a route without words is.
            raise LookupError(f"{route!r} is of a kind that the OpenAPI document does not know")  # noqa: TRY004


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The OpenAPI document of these routes. Raises `LookupError`."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for path, method, operation in sorted(operations_of(routes), key=lambda found: found[:2]):
        paths.setdefault(path, {})[method] = _described(path, method, operation, schemas)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Muster",
            "version": __version__,
            "description": "What devices, operators and probes ask of a controller.",
        },
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": _SCHEMES},
    }


def as_text(described: dict[str, Any]) -> str:
    """The document as it is served, and kept under schemas/."""
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def _operation(route: Route | Mount, handler: Any) -> Operation:
    found = getattr(handler, "operation", None)
    if not isinstance(found, Operation):
        raise LookupError(f"{route.path} is not described: put @described(Operation(...)) on its handler")  # noqa: TRY004
    return found


def _described(path: str, method: str, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    refusals = {*operation.refusals, *_BY_CALLER[operation.caller]}
    if operation.body is not None:
        refusals.add(413)
    if operation.body is not None or operation.query or operation.path:
        refusals.add(_INVALID.get(operation.caller, 422))
    answers = {**{code: _refusal(code) for code in refusals}, **operation.answers}
    said: dict[str, Any] = {
        "operationId": f"{method}{re.sub('[^a-z0-9]+', '-', path.lower()).rstrip('-')}",
        "summary": operation.summary,
        "responses": {str(code): _answer(answers[code], schemas) for code in sorted(answers)},
    }
    if operation.caller != "anyone":
        said["security"] = [{operation.caller: []}]
    if parameters := list(_parameters(operation, schemas)):
        said["parameters"] = parameters
    if operation.body is not None:
        schema = _schema(operation.body, schemas)
        said["requestBody"] = {"required": True, "content": {operation.body_type: {"schema": schema}}}
    return said


def _refusal(code: int) -> Answer:
    headers = {"Retry-After": "Seconds after which to ask again."} if code in _RETRY else {}
    return Answer(HTTPStatus(code).phrase, ErrorAnswer, headers=headers)


def _answer(answer: Answer, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = {} if answer.of is None else _schema(answer.of, schemas, "serialization")
    said: dict[str, Any] = {"description": answer.says}
    if answer.media_type:
        said["content"] = {answer.media_type: {"schema": schema}}
    if answer.headers:
        said["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    return said


def _parameters(operation: Operation, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for place, parameters in (("path", operation.path), ("query", operation.query)):
        for name, kind in parameters.items():
            yield {"name": name, "in": place, "required": place == "path", "schema": _schema(kind, schemas)}


def _schema(kind: Any, schemas: dict[str, Any], mode: Any = "validation") -> dict[str, Any]:
    found = TypeAdapter(kind).json_schema(ref_template=_REF, mode=mode, by_alias=True)
    for name, schema in found.pop("$defs", {}).items():
        _keep(name, schema, schemas)
    title = found.get("title")
    if title and found.get("type") == "object" and re.fullmatch(r"\w+", title):
        _keep(title, found, schemas)
        return {"$ref": _REF.format(model=title)}
    return dict(found)


def _keep(name: str, schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Two types under one name would describe one of them wrongly. Raises `LookupError`."""
    if schemas.setdefault(name, schema) != schema:
        raise LookupError(f"two types are called {name}: give one of them another name")

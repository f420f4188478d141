"""What a request asks for in its query and its path, validated. Everything here raises `HttpError` 422, by name."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from muster.serve.answers import HttpError


def number(request: Request, name: str, default: int, most: int) -> int:
    """A number of the query, from 0 to `most`."""
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 0 <= int(text[:20]) <= most:
        raise HttpError(422, f"{name} must be a number from 0 to {most}")
    return int(text)


def named(request: Request, name: str, kind: Any) -> Any:
    """A parameter of the query; None if it is absent."""
    text = request.query_params.get(name)
    return None if text is None else valid(name, kind, text)


def valid(name: str, kind: Any, value: Any) -> Any:
    """The value, as its type wants it."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise HttpError(422, f"{name}: {error.errors(include_url=False, include_input=False)[0]['msg']}") from error

"""Answers: JSON with one shape for every error, and bounded request bodies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, TypeVar

from pydantic import StringConstraints, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from muster.kinds.errors import MusterError, Refused, TryAgain
from muster.serve.asking import Asking

PARSED_AT_ONCE = 16 * 1024
"""Bytes. A larger body is parsed in a thread, so that other requests are answered meanwhile."""

RETRY_AFTER: Final = {"Retry-After": "5"}

Person = Annotated[str, StringConstraints(pattern=r"^[^<>\x00-\x1f\x7f]{1,100} <[^<>\s\x00-\x1f\x7f]{1,200}>$")]
"""Name and address, as somebody says who asks."""

_Value = TypeVar("_Value")


class HttpError(MusterError):
    """An error with a status code and headers for the answer."""

    def __init__(
        self, status: int, message: str, hint: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.headers = headers or {}

    def response(self) -> JSONResponse:
        """The answer."""
        return JSONResponse({"error": self.message, "hint": self.hint}, self.status, headers=self.headers)


@contextlib.contextmanager
def answered(refused: int, retry: dict[str, str] | None = None) -> Iterator[None]:
    """Errors of what is done inside as answers: `Refused` with this status, `TryAgain` with 503 and these headers."""
    try:
        yield
    except Refused as error:
        raise HttpError(refused, error.message, error.hint) from error
    except TryAgain as error:
        raise HttpError(503, error.message, error.hint, retry) from error


async def bounded_body(request: Request, limit: int) -> bytes:
    """The body, refused with 413 as soon as it grows past `limit` bytes, whatever its headers claim."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise HttpError(413, f"the body is larger than {limit} bytes")
    return bytes(body)


async def parsed(validate: Callable[[bytes], _Value], body: bytes) -> _Value:
    """The body, validated. Raises `HttpError` 422."""
    try:
        return validate(body) if len(body) <= PARSED_AT_ONCE else await asyncio.to_thread(validate, body)
    except ValidationError as error:
        raise one_complaint(error) from error


def one_complaint(error: ValidationError) -> HttpError:
    """The first complaint: where, and what."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return HttpError(422, f"{place or 'body'}: {first['msg']}"[:500])


async def on_http_exception(_request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler for its own errors: no such route, no such method."""
    if not isinstance(error, HTTPException):
        raise error
    said = {"error": error.detail.lower(), "hint": None}
    return JSONResponse(said, error.status_code, headers=dict(error.headers or {}))


async def on_http_error(_request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler for `HttpError`."""
    if not isinstance(error, HttpError):
        raise error
    return error.response()


def bearer(request: Asking) -> str:
    """The bearer token, or an answer 401."""
    return bearer_in(request.headers.get("authorization", ""))


def bearer_in(authorization: str) -> str:
    """The same, of the header's value."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token or len(token) > 512:
        raise HttpError(401, "a bearer token is missing", headers={"WWW-Authenticate": "Bearer"})
    return token


def page(items: list[Any], limit: int, key: str) -> dict[str, Any]:
    """A page of results; `next` is what `after` must say for the following one. An item may fill several rows."""
    return {"items": items, "next": items[-1][key] if items and len(items) >= limit else None}

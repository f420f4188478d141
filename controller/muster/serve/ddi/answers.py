"""Answers in the shapes that DDI clients expect: HAL or plain JSON with an ETag over the body, and hawkBit's errors."""

from __future__ import annotations

import hashlib
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from muster.kinds.canonical import canonical_json
from muster.kinds.errors import MusterError, TryAgain
from muster.serve.answers import HttpError, bounded_body

HAL: Final = "application/hal+json"
JSON: Final = "application/json"
BODY_LIMIT: Final = 64 * 1024
_ERROR: Final = "hawkbit.server.error."
_CODES: Final = {
    400: "rest.body.notReadable",
    404: "repo.entityNotFound",
    405: "action.notCancelable",
    410: "rest.actionClosed",
    429: "quota.tooManyEntries",
}


class DdiError(HttpError):
    """An error in hawkBit's shape. 401 has no body."""

    def response(self) -> Response:  # type: ignore[override]
        """The answer."""
        if self.status == 401:
            return Response(status_code=401)
        body = {
            "exceptionClass": "muster",
            "errorCode": _ERROR + _CODES.get(self.status, "generic"),
            "message": self.message,
        }
        return JSONResponse(body, self.status, headers=self.headers)


def not_found() -> DdiError:
    """The one answer about what is not there, and about what belongs to another device."""
    return DdiError(404, "there is no such thing for this client")


def refusal(error: MusterError) -> DdiError:
    """429 is the one way of saying "later" that both known clients understand."""
    if isinstance(error, TryAgain):
        return DdiError(429, error.message, headers={"Retry-After": "5"})
    return DdiError(400, error.message)


def answer(request: Request, value: Any) -> Response:
    """A value as the client wants it; 304 if it has these bytes. Raises `DdiError`, 406."""
    media_type = _accepted(request)
    body = canonical_json(value)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


async def read_json(request: Request) -> bytes:
    """The body, not yet looked at. Raises `DdiError`, 413 or 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, HAL):
        raise DdiError(415, f"a body is {JSON}")
    return await bounded_body(request, BODY_LIMIT)


def base_url(request: Request) -> str:
    """The address that the client itself used, behind a proxy too: it only ever goes back to who sent it."""
    forwarded = request.headers.get("x-forwarded-proto", "").lower()
    scheme = forwarded if forwarded in ("http", "https") else request.url.scheme
    parameters = request.path_params
    tenant = quote(parameters["tenant"], safe="")
    return f"{scheme}://{request.url.netloc}/{tenant}/controller/v1/{parameters['controller_id']}"


def _accepted(request: Request) -> str:
    given = request.headers.get("accept")
    if given is None:
        return HAL
    wanted = {part.partition(";")[0].strip().lower() for part in given.split(",")}
    if wanted & {HAL, "*/*", "application/*"}:
        return HAL
    if JSON in wanted:
        return JSON
    raise DdiError(406, f"answers are {HAL} or {JSON}")

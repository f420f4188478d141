"""What devices call: enrol, report. What they should run is a static file, see `application`.

Strangers cost little: who calls is settled on a connection that only reads, before a body is parsed and before a
request takes a place among those that wait for the disk. A device has one request of reports under way at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import JSONResponse

from muster.kinds.errors import Refused, TryAgain
from muster.kinds.telemetry import Report
from muster.observe.inventory import Enrolment, authenticate, enrol
from muster.observe.reports import take_reports
from muster.observe.status import read_status
from muster.serve.answers import HttpError, bearer, bounded_body
from muster.serve.intake import Intake
from muster.serve.metrics import ENROLMENTS, REPORTS

BODY_LIMIT = 256 * 1024
ENROLMENT_LIMIT = 32 * 1024
REPORTS_PER_REQUEST = 100
PARSED_AT_ONCE = 16 * 1024
"""Bytes. A larger body is parsed in a thread, so that other requests are answered meanwhile."""

RETRY_AFTER = {"Retry-After": "5"}

_Value = TypeVar("_Value")
# One complaint is enough: a complaint about every part of a hostile body would cost more than the body.
_Reports = Annotated[list[Report], FailFast(), Field(min_length=1, max_length=REPORTS_PER_REQUEST)]
_reports: TypeAdapter[list[Report]] = TypeAdapter(_Reports)


class DeviceRoutes:
    """Handlers for devices."""

    def __init__(self, engine: Engine, intake: Intake, enrolment_token: Path) -> None:
        self._engine = engine
        self._intake = intake
        self._enrolment_token = enrolment_token
        self._reporting: set[str] = set()

    async def enrol(self, request: Request) -> JSONResponse:
        """POST /v1/enrol."""
        body = await bounded_body(request, ENROLMENT_LIMIT)
        # Read each time: a token that was changed holds at once.
        token = self._enrolment_token.read_text().strip()
        if not hmac.compare_digest(_token_of(body).encode(), token.encode()):
            raise HttpError(401, "the enrolment token is not valid", "ask the owner of the fleet for the current one")
        enrolment = await _parse(Enrolment.model_validate_json, body)

        def work(connection: Connection, now: datetime) -> bool:
            classes = read_status(connection, "classes")
            if classes is not None and enrolment.device_class not in classes:
                raise Refused(
                    f"device class {enrolment.device_class} is not declared", f"declared are {', '.join(classes)}"
                )
            known = classes[enrolment.device_class] if classes is not None else enrolment.models
            if strange := sorted(set(enrolment.models) - set(known)):
                raise Refused(
                    f"{enrolment.device_class} does not run {', '.join(strange)}", f"it runs {', '.join(known)}"
                )
            return enrol(connection, enrolment, now)

        try:
            added = await self._intake.submit(work)
        except Refused as error:
            raise HttpError(409, error.message, error.hint) from error
        except TryAgain as error:
            raise HttpError(503, error.message, error.hint, RETRY_AFTER) from error
        ENROLMENTS.inc(int(added))
        return JSONResponse({"device_id": enrolment.device_id, "new": added}, 201)

    async def report(self, request: Request) -> JSONResponse:
        """POST /v1/reports."""
        device_id, _, secret = bearer(request).rpartition(":")
        if not await asyncio.to_thread(self._is_enrolled, device_id, secret):
            raise HttpError(401, "the device is not enrolled, or this is not its secret", "enrol the device again")
        with self._only_one(device_id):
            reports = await _parse(_reports.validate_json, await bounded_body(request, BODY_LIMIT))
            if any(report.device_id != device_id for report in reports):
                raise HttpError(422, "a device reports for itself only")
            try:
                taken = await self._intake.submit(
                    lambda connection, now: take_reports(connection, device_id, reports, now)
                )
            except Refused as error:
                raise HttpError(422, error.message, error.hint) from error
            except TryAgain as error:
                raise HttpError(503, error.message, error.hint, RETRY_AFTER) from error
        REPORTS.inc(taken.new)
        # A device whose numbers began again, after it lost its journal, learns from the last one where to go on.
        return JSONResponse({"accepted": len(reports), "new": taken.new, "last_sequence": taken.last_sequence})

    def _is_enrolled(self, device_id: str, secret: str) -> bool:
        with self._engine.connect() as connection:
            return authenticate(connection, device_id, secret)

    @contextlib.contextmanager
    def _only_one(self, device_id: str) -> Iterator[None]:
        """A device that does not wait for its answers would take the places of others."""
        if device_id in self._reporting:
            raise HttpError(429, "a request of this device is under way", "send one after the other", RETRY_AFTER)
        self._reporting.add(device_id)
        try:
            yield
        finally:
            self._reporting.discard(device_id)


def _token_of(body: bytes) -> str:
    """The token in an enrolment that is not yet looked at."""
    try:
        value: Any = from_json(body)
    except ValueError as error:
        raise HttpError(422, "the body is not JSON") from error
    token = value.get("token") if isinstance(value, dict) else None
    if not isinstance(token, str):
        raise HttpError(422, "token: a string is missing")
    return token


async def _parse(validate: Callable[[bytes], _Value], body: bytes) -> _Value:
    try:
        return validate(body) if len(body) <= PARSED_AT_ONCE else await asyncio.to_thread(validate, body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise HttpError(422, f"{place or 'body'}: {first['msg']}") from error

"""What devices call: enrol, report. What they should run is a static file, see `application`."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection
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
REPORTS_PER_REQUEST = 100
RETRY_AFTER = {"Retry-After": "5"}

_Value = TypeVar("_Value")
_reports = TypeAdapter(list[Report])


class UnknownDeviceError(Refused):
    """The device id and secret do not belong together."""


class DeviceRoutes:
    """Handlers for devices."""

    def __init__(self, intake: Intake, enrolment_token: Path) -> None:
        self._intake = intake
        self._enrolment_token = enrolment_token

    async def enrol(self, request: Request) -> JSONResponse:
        """POST /v1/enrol."""
        enrolment = _parse(Enrolment.model_validate_json, await bounded_body(request, BODY_LIMIT))
        # Read each time: a token that was changed holds at once.
        token = self._enrolment_token.read_text().strip()
        if not hmac.compare_digest(enrolment.token.encode(), token.encode()):
            raise HttpError(401, "the enrolment token is not valid", "ask the owner of the fleet for the current one")

        def work(connection: Connection, now: datetime) -> bool:
            classes = read_status(connection, "classes")
            if classes is not None and enrolment.device_class not in classes:
                raise Refused(
                    f"device class {enrolment.device_class} is not declared", f"declared are {', '.join(classes)}"
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
        reports = _parse(_reports.validate_json, await bounded_body(request, BODY_LIMIT))
        if not 1 <= len(reports) <= REPORTS_PER_REQUEST:
            raise HttpError(422, f"a request holds 1 to {REPORTS_PER_REQUEST} reports, not {len(reports)}")
        if any(report.device_id != device_id for report in reports):
            raise HttpError(422, "a device reports for itself only")

        def work(connection: Connection, now: datetime) -> int:
            if not authenticate(connection, device_id, secret):
                raise UnknownDeviceError("the device is not enrolled, or this is not its secret")
            return take_reports(connection, device_id, reports, now)

        try:
            taken = await self._intake.submit(work)
        except UnknownDeviceError as error:
            raise HttpError(401, error.message, "enrol the device again") from error
        except Refused as error:
            raise HttpError(422, error.message, error.hint) from error
        except TryAgain as error:
            raise HttpError(503, error.message, error.hint, RETRY_AFTER) from error
        REPORTS.inc(taken)
        return JSONResponse({"accepted": len(reports), "new": taken})


def _parse(validate: Callable[[bytes], _Value], body: bytes) -> _Value:
    try:
        return validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise HttpError(422, f"{place or 'body'}: {first['msg']}") from error

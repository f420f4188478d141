"""What devices call: report. What they should run is a static file, see `application`; how they become known, see
`enrolment_routes`.

Strangers cost little: who calls is settled on a connection that only reads, before a body is parsed and before a
request takes a place among those that wait for the disk. A device has one request of reports under way at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, FailFast, Field, TypeAdapter
from pydantic_core import to_json
from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import Response

from muster.kinds.errors import MusterError
from muster.kinds.telemetry import Report
from muster.observe.reports import NotEnrolledError, Sent, Taken, take_all, take_reports
from muster.serve.answers import RETRY_AFTER, HttpError, answered, bounded_body, parsed
from muster.serve.asking import Asking
from muster.serve.callers import Caller, Callers
from muster.serve.direct import DirectRequest
from muster.serve.guard import Guard
from muster.serve.intake import Intake
from muster.serve.metrics import REPORTS
from muster.serve.operations import Answer, Operation, described

BODY_LIMIT = 256 * 1024
REPORTS_PER_REQUEST = 100
LINES = "application/x-ndjson"
LINES_LIMIT = 1024 * 1024
LINES_PER_REQUEST = 1_000
"""For a device that was away for long: one report a line, in one request, which is taken as a whole or not at all."""

# One complaint is enough: a complaint about every part of a hostile body would cost more than the body.
_Reports = Annotated[list[Report], FailFast(), Field(min_length=1, max_length=REPORTS_PER_REQUEST)]
_reports: TypeAdapter[list[Report]] = TypeAdapter(_Reports)
_lines: TypeAdapter[list[Report]] = TypeAdapter(
    Annotated[list[Report], FailFast(), Field(min_length=1, max_length=LINES_PER_REQUEST)]
)


class ReportsAnswer(BaseModel):
    """`last_sequence`: the highest number that was ever taken from the device, which numbers on from there.

    `labels`: those that people set for the device, which count before its own; absent if there are none. `rotate`: the
    device is to take another secret (POST /v1/secret); absent if not.
    """

    accepted: int
    new: int
    last_sequence: int
    labels: dict[str, str] = Field(default_factory=dict)
    rotate: bool = False


class DeviceRoutes:
    """Handlers for devices."""

    def __init__(self, engine: Engine, intake: Intake, guard: Guard) -> None:
        self._intake = intake
        self._callers = Callers(engine, guard)
        self._reporting: set[str] = set()

    @described(
        Operation(
            summary="Say what the device runs, and how far it came. May be repeated: a report counts once. "
            f"As {LINES}, one report a line, up to {LINES_PER_REQUEST:,}",
            caller="device",
            body=_Reports,
            answers={200: Answer("Taken, and durable.", ReportsAnswer)},
            refusals=(503,),
        )
    )
    async def report(self, request: Request) -> Response:
        """POST /v1/reports."""
        body = await self._answer(request, functools.partial(bounded_body, request))
        return Response(body, media_type="application/json")

    async def report_directly(self, request: DirectRequest) -> bytes:
        """The same, without ASGI."""
        return await self._answer(request, request.read)

    async def _answer(self, request: Asking, read: Callable[[int], Awaitable[bytes]]) -> bytes:
        caller = await self._callers.device_to_be_settled(request)
        device_id = caller.device_id
        if device_id in self._reporting:
            # A device that does not wait for its answers would take the places of others.
            raise HttpError(429, "a request of this device is under way", "send one after the other", RETRY_AFTER)
        self._reporting.add(device_id)
        try:
            reports = await _read(request, read)
            for report in reports:
                if report.device_id != device_id:
                    raise HttpError(422, "a device reports for itself only")
            try:
                taken = await self._taken(caller, reports)
            except MusterError as error:
                taken = await self._taken_anew(request, caller, reports, error)
        finally:
            self._reporting.discard(device_id)
        REPORTS.inc(taken.new)
        # A device whose numbers began again, after it lost its journal, learns from the last one where to go on.
        said: dict[str, Any] = {"accepted": len(reports), "new": taken.new, "last_sequence": taken.last_sequence}
        if taken.labels:
            said["labels"] = dict(taken.labels)
        if taken.rotate:
            said["rotate"] = True
        return to_json(said)

    async def _taken_anew(self, request: Asking, caller: Caller, reports: list[Report], error: MusterError) -> Taken:
        """If what was remembered of a device does not hold any more, who calls is settled anew. Raises `HttpError`."""
        with answered(refused=422, retry=RETRY_AFTER):
            if not isinstance(error, NotEnrolledError):
                raise error
            if not caller.remembered:
                raise HttpError(401, error.message, error.hint) from error
            self._callers.forget(caller.device_id)
            caller = await self._callers.device(request)
            try:
                return await self._taken(caller, reports)
            except NotEnrolledError as gone:
                raise HttpError(401, gone.message, gone.hint) from gone

    def _taken(self, caller: Caller, reports: list[Report]) -> Awaitable[Taken]:
        if caller.proof != "next":
            return self._intake.submit_together(
                take_all, Sent(caller.device_id, reports, caller.secret_hash), len(reports)
            )

        def work(connection: Connection, now: datetime) -> Taken:
            caller.settle(connection, now)
            return take_reports(connection, caller.device_id, reports, now)

        return self._intake.submit(work)


async def _read(request: Asking, read: Callable[[int], Awaitable[bytes]]) -> list[Report]:
    """The reports in the body. Raises `HttpError`: 413, 422."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != LINES:
        return await parsed(_reports.validate_json, await read(BODY_LIMIT))
    body = await read(LINES_LIMIT)
    # No JSON value holds a line break as such, so that each one ends a report.
    return await parsed(_lines.validate_json, b"[" + body.rstrip(b"\r\n").replace(b"\n", b",") + b"]")

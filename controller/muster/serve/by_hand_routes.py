"""What operators may do through the controller: suspend a release, and resume it. The operator token opens it.

Who somebody is, is what that person says: the token proves only that the state folder's owner gave it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import JSONResponse

from muster.apply.by_hand import ByHand, resume_by_hand, suspend_by_hand
from muster.kinds.digest import ReleaseName
from muster.kinds.resource import Text
from muster.plan.describe import as_json
from muster.plan.world import Published, Suspension
from muster.serve.answers import Person, bounded_body, parsed
from muster.serve.operations import Answer, Operation, described
from muster.serve.writes import written

BODY_LIMIT = 16_384


def _has_a_utc(moment: datetime) -> datetime:
    """The first and last hours that a calendar knows have none in every zone."""
    if not 1 < moment.year < 9_999:
        raise ValueError("not within the years 2 to 9998")
    return moment


_Until = Annotated[AwareDatetime, AfterValidator(_has_a_utc)]


class _Asked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    release: ReleaseName
    by: Person
    why: Text

    @property
    def asked(self) -> ByHand:
        return ByHand(self.release, self.by, self.why)


class AskedToSuspend(_Asked):
    """The body of POST /v1/suspend; without `until`, for good."""

    until: _Until | None = None


class AskedToResume(_Asked):
    """The body of POST /v1/resume."""

    over_guardrail: Annotated[bool, Field(alias="overGuardrail", strict=True)] = False


_Body = TypeVar("_Body", bound=_Asked)


class ByHandRoutes:
    """Handlers. `wake` makes the loop look at once."""

    def __init__(
        self,
        engine: Engine,
        published: Callable[[], Published],
        authorize: Callable[[Request], None],
        wake: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._published = published
        self._authorize = authorize
        self._wake = wake

    @described(
        Operation(
            summary="Stop offering a release, for a time or for good",
            caller="operator",
            body=AskedToSuspend,
            answers={200: Answer("The suspension.", dict[str, Any])},
            refusals=(409, 503),
        )
    )
    async def suspend(self, request: Request) -> JSONResponse:
        """POST /v1/suspend: devices leave the release at the loop's next tick."""
        body = await self._read(request, AskedToSuspend)
        return await self._do(lambda connection, now: self._suspend(connection, body, now))

    @described(
        Operation(
            summary="Offer a suspended release again",
            caller="operator",
            body=AskedToResume,
            answers={200: Answer("The suspension that held.", dict[str, Any])},
            refusals=(409, 503),
        )
    )
    async def resume(self, request: Request) -> JSONResponse:
        """POST /v1/resume: the release is offered anew at the loop's next tick."""
        body = await self._read(request, AskedToResume)
        return await self._do(lambda connection, now: self._resume(connection, body, now))

    def _suspend(self, connection: Connection, body: AskedToSuspend, now: datetime) -> Suspension:
        return suspend_by_hand(connection, body.asked, body.until, self._published(), now)

    def _resume(self, connection: Connection, body: AskedToResume, now: datetime) -> Suspension:
        return resume_by_hand(connection, body.asked, self._published(), now, over_guardrail=body.over_guardrail)

    async def _read(self, request: Request, model: type[_Body]) -> _Body:
        self._authorize(request)
        return await parsed(model.model_validate_json, await bounded_body(request, BODY_LIMIT))

    async def _do(self, work: Callable[[Connection, datetime], Suspension]) -> JSONResponse:
        said: Any = as_json(await written(self._engine, work))
        self._wake()
        return JSONResponse(said)

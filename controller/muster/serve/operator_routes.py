"""What the command line and the dashboard ask. Read only; an operator token opens it (see also `by_hand_routes`)."""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Engine
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from muster.apply.ledger import events
from muster.kinds.errors import TryAgain
from muster.plan.describe import as_json
from muster.serve.answers import HttpError, bearer, page
from muster.serve.field_answer import FieldAnswer
from muster.serve.field_view import FieldView
from muster.serve.fleet_view import FleetView
from muster.serve.guard import Guard
from muster.serve.operations import Answer, Limit, Operation, described
from muster.serve.queries import number

PAGE = 1_000
MOST_NAMES = 100
MOST_SEQUENCE = 2**53 - 1
Names = Annotated[int, Field(ge=0, le=MOST_NAMES)]
Sequence = Annotated[int, Field(ge=0, le=MOST_SEQUENCE)]


class OperatorRoutes:
    """Handlers for operators."""

    def __init__(
        self, engine: Engine, view: FleetView, field_view: FieldView, operator_token: Path, guard: Guard
    ) -> None:
        self._engine = engine
        self._view = view
        self._field_view = field_view
        self._operator_token = operator_token
        self._guard = guard

    @described(
        Operation(
            summary="The loop, its conditions, and whether every device runs what is declared",
            caller="operator",
            answers={200: Answer("As it says.", dict[str, Any])},
        )
    )
    async def status(self, request: Request) -> JSONResponse:
        """GET /v1/status: the loop, its conditions, and whether every device runs what is declared."""
        self.authorize(request)
        return JSONResponse(await asyncio.to_thread(self._view.status))

    @described(
        Operation(
            summary="The newest plan with its reasons; null before the first",
            caller="operator",
            answers={200: Answer("The plan.", dict[str, Any] | None)},
        )
    )
    async def plan(self, request: Request) -> JSONResponse:
        """GET /v1/plan: the newest plan with its reasons."""
        self.authorize(request)
        return JSONResponse(await asyncio.to_thread(self._view.said, "plan"))

    @described(
        Operation(
            summary="What devices can fetch now",
            caller="operator",
            answers={200: Answer("As it says.", dict[str, Any])},
        )
    )
    async def published(self, request: Request) -> JSONResponse:
        """GET /v1/published: what devices can fetch now."""
        self.authorize(request)
        return JSONResponse(await asyncio.to_thread(self._view.published))

    @described(
        Operation(
            summary="What pull requests are judged by that is not in git",
            caller="operator",
            answers={200: Answer("The field.", FieldAnswer)},
            refusals=(503,),
        )
    )
    async def field(self, request: Request) -> Response:
        """GET /v1/field: what pull requests are judged by that is not in git."""
        self.authorize(request)
        try:
            body = await asyncio.to_thread(self._field)
        except TryAgain as error:
            raise HttpError(503, error.message, error.hint) from error
        return Response(body, media_type="application/json")

    @described(
        Operation(
            summary="What devices run that git never declared for them",
            caller="operator",
            query={"names": Names},
            answers={200: Answer("As it says.", dict[str, Any])},
        )
    )
    async def drift(self, request: Request) -> JSONResponse:
        """GET /v1/drift?names=: what devices run that git never declared for them, with the first names of each."""
        self.authorize(request)
        names = number(request, "names", 20, MOST_NAMES)
        return JSONResponse(await asyncio.to_thread(self._view.drift, names))

    @described(
        Operation(
            summary="Events, oldest first",
            caller="operator",
            query={"after": Sequence, "limit": Limit},
            answers={200: Answer("A page; `next` is what `after` says for the following one.", dict[str, Any])},
        )
    )
    async def ledger(self, request: Request) -> JSONResponse:
        """GET /v1/ledger?after=&limit=: events, oldest first."""
        self.authorize(request)
        limit = number(request, "limit", 100, PAGE)
        after = number(request, "after", 0, MOST_SEQUENCE)
        rows = await asyncio.to_thread(self._events, after, limit)
        return JSONResponse(page(rows, limit, "sequence"))

    def authorize(self, request: Request) -> None:
        """Raises `HttpError` unless the request carries the operator token."""
        if not hmac.compare_digest(bearer(request).encode(), self._operator_token.read_text().strip().encode()):
            self._guard.proved_nothing(request)
            raise HttpError(401, "the operator token is not valid", "it stands in the controller's state folder")

    def _field(self) -> str:
        return FieldAnswer.of(self._field_view.state(datetime.now(UTC))).model_dump_json()

    def _events(self, after: int, limit: int) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            rows: list[dict[str, Any]] = as_json(events(connection, after, limit))
            return rows

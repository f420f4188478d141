"""What the command line and the dashboard ask. Read only; an operator token opens it (see also `by_hand_routes`)."""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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

PAGE = 1_000
MOST_NAMES = 100


class OperatorRoutes:
    """Handlers for operators."""

    def __init__(self, engine: Engine, view: FleetView, field_view: FieldView, operator_token: Path) -> None:
        self._engine = engine
        self._view = view
        self._field_view = field_view
        self._operator_token = operator_token

    async def status(self, request: Request) -> JSONResponse:
        """GET /v1/status: the loop, its conditions, and whether every device runs what is declared."""
        self.authorize(request)
        return JSONResponse(await asyncio.to_thread(self._view.status))

    async def plan(self, request: Request) -> JSONResponse:
        """GET /v1/plan: the newest plan with its reasons."""
        self.authorize(request)
        return JSONResponse(await asyncio.to_thread(self._view.said, "plan"))

    async def published(self, request: Request) -> JSONResponse:
        """GET /v1/published: what devices can fetch now."""
        self.authorize(request)
        return JSONResponse(await asyncio.to_thread(self._view.published))

    async def field(self, request: Request) -> Response:
        """GET /v1/field: what pull requests are judged by that is not in git."""
        self.authorize(request)
        try:
            body = await asyncio.to_thread(self._field)
        except TryAgain as error:
            raise HttpError(503, error.message, error.hint) from error
        return Response(body, media_type="application/json")

    async def devices(self, request: Request) -> JSONResponse:
        """GET /v1/devices?class=&after=&limit=: device states, in the order of their ids."""
        self.authorize(request)
        limit = _number(request, "limit", 100, PAGE)
        after = request.query_params.get("after", "")[:128]
        device_class = request.query_params.get("class")
        states = await asyncio.to_thread(self._view.devices, device_class, after, limit)
        return JSONResponse(page(as_json(states), limit, "deviceId"))

    async def drift(self, request: Request) -> JSONResponse:
        """GET /v1/drift?names=: what devices run that git never declared for them, with the first names of each."""
        self.authorize(request)
        names = _number(request, "names", 20, MOST_NAMES)
        return JSONResponse(await asyncio.to_thread(self._view.drift, names))

    async def ledger(self, request: Request) -> JSONResponse:
        """GET /v1/ledger?after=&limit=: events, oldest first."""
        self.authorize(request)
        limit = _number(request, "limit", 100, PAGE)
        after = _number(request, "after", 0, 2**53 - 1)
        rows = await asyncio.to_thread(self._events, after, limit)
        return JSONResponse(page(rows, limit, "sequence"))

    def authorize(self, request: Request) -> None:
        """Raises `HttpError` unless the request carries the operator token."""
        if not hmac.compare_digest(bearer(request).encode(), self._operator_token.read_text().strip().encode()):
            raise HttpError(401, "the operator token is not valid", "it stands in the controller's state folder")

    def _field(self) -> str:
        return FieldAnswer.of(self._field_view.state(datetime.now(UTC))).model_dump_json()

    def _events(self, after: int, limit: int) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            rows: list[dict[str, Any]] = as_json(events(connection, after, limit))
            return rows


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 0 <= int(text[:20]) <= most:
        raise HttpError(422, f"{name} must be a number from 0 to {most}")
    return int(text)

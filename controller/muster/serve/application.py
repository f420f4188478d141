"""The ASGI application: routes, static desired state, probes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Engine, create_engine
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from muster.artifacts.store import Store
from muster.plan.world import Published
from muster.serve.answers import HttpError, on_http_error, on_http_exception
from muster.serve.by_hand_routes import ByHandRoutes
from muster.serve.callers import Callers
from muster.serve.capture.routes import CaptureRoutes
from muster.serve.capture.store import CaptureStore
from muster.serve.ddi.callers import ClientCallers
from muster.serve.ddi.desk import Desk
from muster.serve.ddi.routes import DdiRoutes
from muster.serve.device_routes import DeviceRoutes
from muster.serve.enrolment_routes import EnrolmentRoutes
from muster.serve.field_view import FieldView
from muster.serve.fleet_view import FleetView
from muster.serve.guard import Access, Guard
from muster.serve.intake import Intake
from muster.serve.inventory_routes import InventoryRoutes
from muster.serve.metrics import render
from muster.serve.openapi import as_text, document
from muster.serve.operations import Answer, Operation, described
from muster.serve.operator_routes import OperatorRoutes
from muster.serve.published_files import PublishedFiles

ANYONE = Access()
OPENAPI_FILE = "openapi.json"
REPORTS = "/v1/reports"


@dataclass(frozen=True)
class ServeFolders:
    """Where the application finds files. Without a `gateway_token` there, DDI clients show their own tokens only."""

    public: Path
    enrolment_token: Path
    operator_token: Path
    store: Path
    state: Path
    gateway_token: Path

    @property
    def captures(self) -> Path:
        """Samples that devices sent."""
        return self.store.with_name("captures")


class Ready(BaseModel):
    """Whether the loop does its work."""

    ready: bool
    reason: str


class OpenApi:
    """`/openapi.json`: made when somebody first asks, from the routes that it is one of."""

    def __init__(self) -> None:
        self.routes: list[BaseRoute] = []
        self._body = b""

    @described(Operation("This document", {200: Answer("OpenAPI 3.1.", dict[str, Any])}))
    async def read(self, _request: Request) -> Response:
        """GET /openapi.json"""
        if not self._body:
            self._body = await asyncio.to_thread(lambda: as_text(document(self.routes)).encode())
        return Response(self._body, media_type="application/json")


class Probes:
    """`/healthz` says that the process answers; `/readyz` that the loop does its work."""

    def __init__(self, engine: Engine, view: FleetView, patience: timedelta) -> None:
        self._engine = engine
        self._view = view
        self._patience = patience

    @described(Operation("Whether the process answers; no dependencies", {200: Answer("It does.", None, "text/plain")}))
    async def healthz(self, _request: Request) -> Response:
        """No dependencies."""
        return PlainTextResponse("ok\n")

    @described(
        Operation(
            "Whether the loop does its work, with the reason",
            {200: Answer("It does.", Ready), 503: Answer("No.", Ready)},
        )
    )
    async def readyz(self, _request: Request) -> Response:
        """503 with the reason while the loop is late, or says that it is not ready."""
        try:
            loop = await asyncio.to_thread(self._view.said, "loop")
        except Exception as error:  # noqa: BLE001 - any failure of the storage is a reason not to be ready
            return JSONResponse({"ready": False, "reason": f"storage: {type(error).__name__}"}, 503)
        if not loop:
            return JSONResponse({"ready": False, "reason": "the loop has not finished a tick yet"}, 503)
        age = datetime.now(UTC) - datetime.fromisoformat(loop["at"])
        if age > self._patience:
            return JSONResponse(
                {"ready": False, "reason": f"the loop finished its last tick {age.total_seconds():.0f} s ago"}, 503
            )
        return JSONResponse({"ready": loop["ready"], "reason": loop["reason"]}, 200 if loop["ready"] else 503)

    @described(Operation("Metrics in Prometheus' text format", {200: Answer("Them.", None, "text/plain")}))
    async def metrics(self, _request: Request) -> Response:
        """Prometheus' text format."""
        return Response(await asyncio.to_thread(render, self._engine), media_type="text/plain; version=0.0.4")


def build_application(
    engine: Engine,
    view: FleetView,
    folders: ServeFolders,
    patience: timedelta,
    wake: Callable[[], None] = lambda: None,
    access: Access = ANYONE,
) -> Starlette:
    """Assemble the application. `wake` makes the loop look at once."""
    intake = Intake(engine)
    guard = Guard(access)
    devices = DeviceRoutes(engine, intake, guard)
    enrolment = EnrolmentRoutes(engine, intake, folders.enrolment_token, guard)
    field_view = FieldView(engine, view.desired, Store(folders.store), patience)
    operators = OperatorRoutes(engine, view, field_view, folders.operator_token, guard)
    inventory = InventoryRoutes(engine, view, operators.authorize)
    by_hand = ByHandRoutes(engine, view.desired, operators.authorize, wake)
    store = CaptureStore(engine, folders.captures)
    captures = CaptureRoutes(store, view.desired, Callers(engine, guard), intake, operators.authorize)
    clients = ClientCallers(engine, guard, folders.gateway_token)
    ddi = DdiRoutes(Desk(engine, view.desired), clients, intake, folders.state)
    probes = Probes(engine, view, patience)
    described_routes = OpenApi()

    @contextlib.asynccontextmanager
    async def lifespan(_application: Starlette) -> AsyncIterator[None]:
        folders.public.mkdir(parents=True, exist_ok=True)
        intake.start()
        sweeping = asyncio.create_task(captures.keep_swept())
        yield
        sweeping.cancel()
        captures.close()
        await intake.stop()

    described_routes.routes = routes = [
        # Routes are tried in their order, and most requests want this one.
        Route(REPORTS, devices.report, methods=["POST"]),
        Route("/healthz", probes.healthz),
        Route("/readyz", probes.readyz),
        Route("/metrics", probes.metrics),
        Route("/openapi.json", described_routes.read),
        Route("/v1/enrol", enrolment.enrol, methods=["POST"]),
        Route("/v1/secret", enrolment.secret, methods=["POST"]),
        Route("/v1/status", operators.status),
        Route("/v1/plan", operators.plan),
        Route("/v1/published", operators.published),
        Route("/v1/field", operators.field),
        Route("/v1/drift", operators.drift),
        Route("/v1/ledger", operators.ledger),
        Route("/v1/suspend", by_hand.suspend, methods=["POST"]),
        Route("/v1/resume", by_hand.resume, methods=["POST"]),
        *_inventory(inventory),
        *_captures(captures),
        *ddi.routes(),
        Mount("/tuf", PublishedFiles(directory=folders.public, follow_symlink=False, check_dir=False)),
    ]
    handlers = {HttpError: on_http_error, HTTPException: on_http_exception}
    application = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    application.state.direct = {("POST", REPORTS): devices.report_directly}
    return application


def openapi_text() -> str:
    """The OpenAPI document, without a state folder. Raises `LookupError` for a route that nobody described."""
    nowhere = Path("nowhere")
    engine = create_engine("sqlite://")
    view = FleetView(engine, Published)
    folders = ServeFolders(*[nowhere] * 6)
    return as_text(document(build_application(engine, view, folders, timedelta()).routes))


def _inventory(routes: InventoryRoutes) -> list[BaseRoute]:
    return [
        Route("/v1/devices", routes.devices),
        Route("/v1/devices/{device_id}", routes.device),
        Route("/v1/devices/{device_id}/accept", routes.accept, methods=["POST"]),
        Route("/v1/devices/{device_id}/labels", routes.label, methods=["POST"]),
        Route("/v1/devices/{device_id}/revoke", routes.revoke, methods=["POST"]),
        Route("/v1/enrolments", routes.enrolments),
        Route("/v1/register", routes.register, methods=["POST"]),
    ]


def _captures(routes: CaptureRoutes) -> list[BaseRoute]:
    return [
        Route("/v1/captures", routes.begin, methods=["POST"]),
        Route("/v1/captures", routes.listed),
        Route("/v1/captures/erase", routes.erase, methods=["POST"]),
        Route("/v1/captures/forget", routes.forget, methods=["POST"]),
        Route("/v1/captures/{id}/content", routes.content, methods=["POST"]),
        Route("/v1/captures/{id}/content", routes.read),
    ]

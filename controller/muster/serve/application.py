"""The ASGI application: routes, static desired state, probes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from muster.artifacts.store import Store
from muster.serve.answers import HttpError, on_http_error
from muster.serve.by_hand_routes import ByHandRoutes
from muster.serve.device_routes import DeviceRoutes
from muster.serve.field_view import FieldView
from muster.serve.fleet_view import FleetView
from muster.serve.intake import Intake
from muster.serve.metrics import render
from muster.serve.operator_routes import OperatorRoutes


@dataclass(frozen=True)
class ServeFolders:
    """Where the application finds files."""

    public: Path
    enrolment_token: Path
    operator_token: Path
    store: Path


class Probes:
    """`/healthz` says that the process answers; `/readyz` that the loop does its work."""

    def __init__(self, engine: Engine, view: FleetView, patience: timedelta) -> None:
        self._engine = engine
        self._view = view
        self._patience = patience

    async def healthz(self, _request: Request) -> Response:
        """No dependencies."""
        return PlainTextResponse("ok\n")

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

    async def metrics(self, _request: Request) -> Response:
        """Prometheus' text format."""
        return Response(await asyncio.to_thread(render, self._engine), media_type="text/plain; version=0.0.4")


def build_application(
    engine: Engine,
    view: FleetView,
    folders: ServeFolders,
    patience: timedelta,
    wake: Callable[[], None] = lambda: None,
) -> Starlette:
    """Assemble the application. `wake` makes the loop look at once."""
    intake = Intake(engine)
    devices = DeviceRoutes(engine, intake, folders.enrolment_token)
    operators = OperatorRoutes(
        engine, view, FieldView(engine, view.desired, Store(folders.store), patience), folders.operator_token
    )
    by_hand = ByHandRoutes(engine, view.desired, operators.authorize, wake)
    probes = Probes(engine, view, patience)
    folders.public.mkdir(parents=True, exist_ok=True)

    @contextlib.asynccontextmanager
    async def lifespan(_application: Starlette) -> AsyncIterator[None]:
        intake.start()
        yield
        await intake.stop()

    return Starlette(
        routes=[
            Route("/healthz", probes.healthz),
            Route("/readyz", probes.readyz),
            Route("/metrics", probes.metrics),
            Route("/v1/enrol", devices.enrol, methods=["POST"]),
            Route("/v1/reports", devices.report, methods=["POST"]),
            Route("/v1/status", operators.status),
            Route("/v1/plan", operators.plan),
            Route("/v1/published", operators.published),
            Route("/v1/field", operators.field),
            Route("/v1/devices", operators.devices),
            Route("/v1/drift", operators.drift),
            Route("/v1/ledger", operators.ledger),
            Route("/v1/suspend", by_hand.suspend, methods=["POST"]),
            Route("/v1/resume", by_hand.resume, methods=["POST"]),
            Mount("/tuf", StaticFiles(directory=folders.public, follow_symlink=False)),
        ],
        exception_handlers={HttpError: on_http_error},
        lifespan=lifespan,
    )

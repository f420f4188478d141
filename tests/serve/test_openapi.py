"""The OpenAPI document: every route is in it, and it is the one that is kept."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import create_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from muster.plan.world import Published
from muster.serve.application import OPENAPI_FILE, ServeFolders, build_application, openapi_text
from muster.serve.fleet_view import FleetView
from muster.serve.openapi import document
from sites import Site

KEPT = Path(__file__).parents[2] / "schemas" / OPENAPI_FILE
NOWHERE = Path("nowhere")


def application() -> Starlette:
    engine = create_engine("sqlite://")
    folders = ServeFolders(*[NOWHERE] * 6)
    return build_application(engine, FleetView(engine, Published), folders, timedelta())


async def nobody_described_me(_request: Request) -> Response:
    return PlainTextResponse("")


def flat(routes: list[BaseRoute], prefix: str = "") -> list[tuple[str, str]]:
    """(path, method) as Starlette has them, counted in another way than the document is made."""
    found: list[tuple[str, str]] = []
    for route in routes:
        if isinstance(route, Mount):
            found += flat(list(route.routes), prefix + route.path) or [(prefix + route.path + "/{path}", "GET")]
        else:
            assert isinstance(route, Route)
            found += [(prefix + route.path, method) for method in route.methods or () if method != "HEAD"]
    return found


def test_every_route_is_in_it() -> None:
    """No more and no fewer."""
    said = json.loads(openapi_text())
    written = {(path, method.upper()) for path, item in said["paths"].items() for method in item}
    assert written == set(flat(application().routes))


@pytest.mark.parametrize(
    "route",
    [
        Route("/v1/new", nobody_described_me),
        Mount("/files", StaticFiles(directory=".", check_dir=False)),
        Mount("/under", routes=[Route("/new", nobody_described_me)]),
        WebSocketRoute("/socket", nobody_described_me),
    ],
    ids=["route", "files", "below", "another kind"],
)
def test_a_route_that_nobody_described_is_noticed(route: BaseRoute) -> None:
    """So it cannot come in unseen."""
    with pytest.raises(LookupError):
        document([*application().routes, route])


def test_what_is_served_is_what_is_kept(tmp_path: Path) -> None:
    """`muster schemas` wrote schemas/openapi.json from this code."""
    assert KEPT.read_text() == openapi_text()
    site = Site(tmp_path / "state")
    site.start()
    try:
        assert site.ask("GET", "/openapi.json") == (200, json.loads(KEPT.read_text()))
    finally:
        site.stop()


def schemas_in(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value[name] for name in value if name == "schema"] + schemas_in(list(value.values()))
    return [one for item in value for one in schemas_in(item)] if isinstance(value, list) else []


def test_it_holds_together() -> None:
    """Every schema is JSON Schema 2020-12 (as OpenAPI 3.1 says), every reference leads somewhere, names are unique,
    path parameters are those of the path, and whoever needs a token is refused without.
    """
    said = json.loads(openapi_text())
    for schema in [*said["components"]["schemas"].values(), *schemas_in(said["paths"])]:
        Draft202012Validator.check_schema(schema)
    text = KEPT.read_text()
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in said["components"]["schemas"]
    operations = [(path, one) for path, item in said["paths"].items() for one in item.values()]
    assert len({one["operationId"] for _, one in operations}) == len(operations)
    for path, one in operations:
        named = {parameter["name"] for parameter in one.get("parameters", []) if parameter["in"] == "path"}
        assert named == {piece[1:-1] for piece in path.split("/") if piece.startswith("{")}
        assert ("security" in one) <= {"401", "429"}.issubset(one["responses"])

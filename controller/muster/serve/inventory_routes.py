"""What operators ask of devices, and do to them: list, describe, register, accept, label, revoke.

The operator token opens all of it. Who somebody is, is what that person says, as for `by_hand_routes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import JSONResponse

from muster.apply import devices_by_hand
from muster.apply.devices_by_hand import Asked
from muster.kinds.digest import DeviceId, Name
from muster.kinds.resource import LabelKey, Labels, LabelValue, Text
from muster.observe.admission import Registered, State
from muster.observe.inventory_pages import Wanted
from muster.plan.describe import as_json
from muster.serve.answers import HttpError, Person, bounded_body, page, parsed
from muster.serve.fleet_view import FleetView
from muster.serve.operations import AfterId, Answer, DeviceInPath, Limit, Operation, described
from muster.serve.queries import named, number, valid
from muster.serve.writes import written

BODY_LIMIT = 512 * 1024
MOST_REGISTERED = 200
"""In one transaction, for which everybody else waits."""
MOST_LABELS_ASKED = 8
_Body = TypeVar("_Body", bound="AskedOfDevice")
_SecretHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_LabelAsked = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([a-z0-9./-]{0,61}[a-z0-9])?=[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$", max_length=128
    ),
]
_LabelsAsked = Annotated[list[_LabelAsked], Field(max_length=MOST_LABELS_ASKED)]


class AskedOfDevice(BaseModel):
    """Who asks, and why: for the ledger."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    by: Person
    why: Text

    @property
    def asked(self) -> Asked:
        """The same, as what writes it down takes it."""
        return Asked(self.by, self.why)


class DeviceToExpect(BaseModel):
    """One device that is yet to come. With `secretSha256` it needs that secret, and no token."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    device_id: Annotated[DeviceId, Field(alias="deviceId")]
    device_class: Annotated[Name, Field(alias="deviceClass")]
    labels: Labels = Field(default_factory=dict)
    secret_sha256: Annotated[_SecretHash | None, Field(alias="secretSha256")] = None


class AskedToRegister(AskedOfDevice):
    """The body of POST /v1/register."""

    devices: Annotated[list[DeviceToExpect], Field(min_length=1, max_length=MOST_REGISTERED)]


class AskedToLabel(AskedOfDevice):
    """The body of POST /v1/devices/{device_id}/labels. Null takes back what a person had set."""

    labels: Annotated[dict[LabelKey, LabelValue | None], Field(min_length=1, max_length=32)]


class Done(BaseModel):
    """What was done, and to how many devices."""

    done: str
    devices: int


class LabelsAnswer(BaseModel):
    """The labels that count for the device from now on."""

    labels: dict[str, str]


_DONE = {200: Answer("Done, and in the ledger.", Done)}


class InventoryRoutes:
    """Handlers for operators."""

    def __init__(self, engine: Engine, view: FleetView, authorize: Callable[[Request], None]) -> None:
        self._engine = engine
        self._view = view
        self._authorize = authorize

    @described(
        Operation(
            summary="Device states, one for each model, in the order of the devices' ids",
            caller="operator",
            query={"class": Name, "label": _LabelsAsked, "after": AfterId, "limit": Limit},
            answers={200: Answer("A page; `next` is what `after` says for the following one.", dict[str, Any])},
        )
    )
    async def devices(self, request: Request) -> JSONResponse:
        """GET /v1/devices?class=&label=KEY=VALUE&after=&limit="""
        self._authorize(request)
        limit = number(request, "limit", 100, 1_000)
        wanted = Wanted(named(request, "class", Name), _labels(request), _after(request), limit)
        states = await asyncio.to_thread(self._view.devices, wanted)
        return JSONResponse(page(as_json(states), limit, "deviceId"))

    @described(
        Operation(
            summary="All that is known of one device, or of an id that is none yet, or no more",
            caller="operator",
            path=DeviceInPath,
            answers={200: Answer("What is known.", dict[str, Any])},
            refusals=(404,),
        )
    )
    async def device(self, request: Request) -> JSONResponse:
        """GET /v1/devices/{device_id}"""
        self._authorize(request)
        device_id = _device_id(request)
        found = await asyncio.to_thread(self._view.device, device_id)
        if found is None:
            raise HttpError(404, f"nothing is known of device {device_id}", "list those that are: muster get devices")
        return JSONResponse(found)

    @described(
        Operation(
            summary="Ids that are no devices: expected, waiting to be accepted, revoked",
            caller="operator",
            query={"state": State, "class": Name, "after": AfterId, "limit": Limit},
            answers={200: Answer("A page; `next` is what `after` says for the following one.", dict[str, Any])},
        )
    )
    async def enrolments(self, request: Request) -> JSONResponse:
        """GET /v1/enrolments?state=&class=&after=&limit="""
        self._authorize(request)
        limit = number(request, "limit", 100, 1_000)
        state: State | None = named(request, "state", State)
        device_class = named(request, "class", Name)
        rows = await asyncio.to_thread(self._view.enrolments, state, device_class, _after(request), limit)
        return JSONResponse(page(rows, limit, "deviceId"))

    @described(
        Operation(
            summary="Let devices in that are yet to come, all of them or none",
            caller="operator",
            body=AskedToRegister,
            answers=_DONE,
            refusals=(409, 503),
        )
    )
    async def register(self, request: Request) -> JSONResponse:
        """POST /v1/register"""
        body = await self._read(request, AskedToRegister)
        found = [Registered(one.device_id, one.device_class, one.labels, one.secret_sha256) for one in body.devices]
        if len({one.device_id for one in found}) < len(found):
            raise HttpError(422, "devices: a device is there twice")
        await self._do(lambda connection, now: devices_by_hand.register(connection, found, body.asked, now))
        return JSONResponse({"done": "registered", "devices": len(found)})

    @described(
        Operation(
            summary="Let a device in that waits",
            caller="operator",
            path=DeviceInPath,
            body=AskedOfDevice,
            answers=_DONE,
            refusals=(409, 503),
        )
    )
    async def accept(self, request: Request) -> JSONResponse:
        """POST /v1/devices/{device_id}/accept"""
        body, device_id = await self._read(request, AskedOfDevice), _device_id(request)
        await self._do(lambda connection, now: devices_by_hand.accept(connection, device_id, body.asked, now))
        return JSONResponse({"done": "accepted", "devices": 1})

    @described(
        Operation(
            summary="End a device at once: its secret is worth nothing any more",
            caller="operator",
            path=DeviceInPath,
            body=AskedOfDevice,
            answers=_DONE,
            refusals=(409, 503),
        )
    )
    async def revoke(self, request: Request) -> JSONResponse:
        """POST /v1/devices/{device_id}/revoke"""
        body, device_id = await self._read(request, AskedOfDevice), _device_id(request)
        await self._do(lambda connection, now: devices_by_hand.revoke(connection, device_id, body.asked, now))
        return JSONResponse({"done": "revoked", "devices": 1})

    @described(
        Operation(
            summary="Set labels of a device, which count before its own, or take back what a person set",
            caller="operator",
            path=DeviceInPath,
            body=AskedToLabel,
            answers={200: Answer("The labels that count.", LabelsAnswer)},
            refusals=(409, 503),
        )
    )
    async def label(self, request: Request) -> JSONResponse:
        """POST /v1/devices/{device_id}/labels"""
        body, device_id = await self._read(request, AskedToLabel), _device_id(request)
        labels = await self._do(
            lambda connection, now: devices_by_hand.label(connection, device_id, body.labels, body.asked, now)
        )
        return JSONResponse({"labels": labels})

    async def _read(self, request: Request, model: type[_Body]) -> _Body:
        self._authorize(request)
        return await parsed(model.model_validate_json, await bounded_body(request, BODY_LIMIT))

    async def _do(self, work: Callable[[Connection, datetime], Any]) -> Any:
        return await written(self._engine, work)


def _device_id(request: Request) -> str:
    return str(valid("device_id", DeviceId, request.path_params["device_id"]))


def _after(request: Request) -> str:
    return str(valid("after", AfterId, request.query_params.get("after", "")))


def _labels(request: Request) -> dict[str, str]:
    asked = valid("label", _LabelsAsked, request.query_params.getlist("label"))
    labels: dict[str, str] = {}
    for text in asked:
        key, _, value = text.partition("=")
        if labels.setdefault(key, value) != value:
            raise HttpError(422, f"label: {key} cannot have two values")
    return labels

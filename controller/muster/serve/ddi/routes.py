"""Handlers of the DDI API. Each settles who calls before it looks at a body; writes go through the intake."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from muster.kinds.ddi_attributes import DEVICE_CLASS, TIME_ZONE, complaint, labels_of
from muster.kinds.ddi_feedback import CANCEL_ANSWERS, MEANINGS
from muster.kinds.errors import MusterError, Refused
from muster.observe.ddi import (
    ask,
    begin,
    conclude,
    keep_attributes,
    keep_offline,
    messages,
    needs_note,
    note_begun,
    note_poll,
    register,
    say,
)
from muster.plan.ddi import LARGEST_ID, Action, Cancel, Deploy, last_installed, next_id, sleep
from muster.serve.answers import HttpError
from muster.serve.callers import Caller
from muster.serve.ddi.answers import DdiError, answer, base_url, not_found, read_json, refusal
from muster.serve.ddi.bodies import (
    MOST_DETAILS,
    MOST_ENTRIES,
    ConfigData,
    Feedback,
    Offline,
    deployment_body,
    file_body,
    poll_body,
)
from muster.serve.ddi.callers import ClientCallers
from muster.serve.ddi.calls import CALLS, ROOT, operation
from muster.serve.ddi.desk import Desk, View, hear_health, zone_of
from muster.serve.ddi.downloads import MD5SUM, md5sum_response, package_response
from muster.serve.intake import Intake
from muster.serve.operations import described

_Body = TypeVar("_Body", bound=BaseModel)
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class DdiRoutes:
    """One handler for each of `CALLS`. `state` is the folder that paths of packages are relative to."""

    def __init__(self, desk: Desk, callers: ClientCallers, intake: Intake, state: Path) -> None:
        self._desk = desk
        self._callers = callers
        self._intake = intake
        self._state = state

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route(
                ROOT + call.path,
                described(operation(call))(_in_hawkbits_shape(getattr(self, call.handler))),
                methods=[call.method],
            )
            for call in CALLS
        ]

    async def poll(self, request: Request) -> Response:
        """GET B."""
        caller, view = await self._admit(request)
        now, device_id = datetime.now(UTC), view.client.device_id
        asks = view.to_be_asked(now)
        if needs_note(view.client, now) or asks is not None:
            view = await self._write(lambda connection, at: self._note(connection, device_id, asks, at))
        base, newest = base_url(request), view.newest
        links = {}
        match view.step:
            case Cancel(action_id):
                # Without a query: SWUpdate appends `/feedback` to it.
                links["cancelAction"] = f"{base}/cancelAction/{action_id}"
            case Deploy(action_id, _, entry, _):
                links["deploymentBase"] = f"{base}/deploymentBase/{action_id}?c={entry.since % 2**31}"
        if newest is not None and newest.state == "installed":
            links["installedBase"] = f"{base}/installedBase/{newest.action_id}"
        if view.client.wanted or (caller.by_gateway and view.client.device is None):
            links["configData"] = f"{base}/configData"
        return answer(request, poll_body(sleep(device_id, view.pause), links))

    async def config_data(self, request: Request) -> Response:
        """PUT B/configData."""
        caller, view = await self._admit(request)
        if view.client.device is None and not view.client.known:
            raise not_found()
        sent = await _parse(ConfigData, request)
        await self._write(lambda connection, at: self._take(connection, (caller, view), sent, at))
        return Response()

    async def deployment(self, request: Request) -> Response:
        """GET B/deploymentBase/{id}: the first call puts the action on record."""
        _, view = await self._admit(request)
        action_id, device_id = _number(request), view.client.device_id
        if view.action(action_id) is None:
            view = await self._write(lambda connection, at: self._begin(connection, device_id, action_id, at))
        action = view.action(action_id)
        is_cancelled = isinstance(view.step, Cancel) and view.step.action_id == action_id
        if action is None or action.state == "cancelled" or is_cancelled:
            raise not_found()
        return await self._details(request, view, action)

    async def feedback(self, request: Request) -> Response:
        """POST B/deploymentBase/{id}/feedback."""
        _, view = await self._admit(request)
        sent, action_id, device_id = await _parse(Feedback, request), _number(request), view.client.device_id

        def work(connection: Connection, at: datetime) -> None:
            now = self._begin(connection, device_id, action_id, at)
            action = now.action(action_id)
            if action is None:
                raise not_found()
            if now.is_superseded(action):
                raise DdiError(410, "the action is not active any more")
            meaning = MEANINGS[sent.status.execution, sent.status.result.finished]
            texts = sent.status.texts
            most = MOST_ENTRIES if meaning.state == "open" else LARGEST_ID
            if len(texts) > MOST_DETAILS or not say(connection, device_id, action_id, texts, most):
                raise DdiError(429, f"more than {MOST_DETAILS} details, or {MOST_ENTRIES} feedbacks")
            note_begun(connection, device_id, action_id)
            conclude(connection, now.client, action, (meaning.state, meaning.phase, meaning.error_code), at)

        await self._write(work)
        return Response()

    async def cancel(self, request: Request) -> Response:
        """GET B/cancelAction/{id}."""
        _, view = await self._admit(request)
        action_id = _number(request)
        if view.step != Cancel(action_id):
            raise not_found()
        return answer(request, {"id": str(action_id), "cancelAction": {"stopId": str(action_id)}})

    async def cancel_feedback(self, request: Request) -> Response:
        """POST B/cancelAction/{id}/feedback."""
        _, view = await self._admit(request)
        sent, action_id, device_id = await _parse(Feedback, request), _number(request), view.client.device_id

        def work(connection: Connection, at: datetime) -> None:
            now = self._desk.view(connection, device_id, at)
            action = now.action(action_id)
            if action is None:
                raise not_found()
            if now.step != Cancel(action_id):
                raise DdiError(405, "the action is not being cancelled")
            state = CANCEL_ANSWERS[sent.status.execution, sent.status.result.finished]
            say(connection, device_id, action_id, sent.status.texts[:MOST_DETAILS], MOST_ENTRIES)
            if state != "open":
                conclude(connection, now.client, action, (state, None, None), at)

        await self._write(work)
        return Response()

    async def installed(self, request: Request) -> Response:
        """GET B/installedBase/{id}."""
        _, view = await self._admit(request)
        action = view.action(_number(request))
        if action is None or action.state != "installed":
            raise not_found()
        return await self._details(request, view, action)

    async def installed_offline(self, request: Request) -> Response:
        """PUT B/installedBase."""
        _, view = await self._admit(request)
        sent, device_id = await _parse(Offline, request), view.client.device_id

        def work(connection: Connection, at: datetime) -> int:
            now = self._desk.view(connection, device_id, at)
            offer = next(
                (
                    (document, entry)
                    for document in now.documents
                    for entry in document.entries
                    if (document.model, entry.version) == (sent.name, sent.version)
                ),
                None,
            )
            if offer is None:
                raise not_found()
            document, entry = offer
            before = last_installed(now.client.actions, document.model)
            if before is not None and before.artifact == entry.artifact.digest:
                return 200
            if now.newest is not None and now.newest.state == "open":
                raise DdiError(409, f"action {now.newest.action_id} is under way")
            deploy = Deploy(next_id(entry.since, now.newest), document.model, entry, document.generation)
            keep_offline(connection, now.client, deploy, at)
            return 201

        return Response(status_code=await self._write(work))

    async def files(self, request: Request) -> Response:
        """GET B/softwaremodules/{id}/artifacts: a module is an action, there being one of each in a deployment."""
        _, view = await self._admit(request)
        module_id = _number(request, "module_id")
        file = self._file(view, module_id, {"open", "installed"})
        return answer(request, [file_body(base_url(request), module_id, file)])

    async def download(self, request: Request) -> Response:
        """GET B/softwaremodules/{id}/artifacts/{name}."""
        _, view = await self._admit(request)
        file = self._file(view, _number(request, "module_id"), {"open"})
        name = request.path_params["filename"]
        if name == file["filename"] + MD5SUM:
            return md5sum_response(file)
        path = self._state / file["path"]
        if name != file["filename"] or not await asyncio.to_thread(path.is_file):
            raise not_found()
        return package_response(request, path, file)

    async def _admit(self, request: Request) -> tuple[Caller, View]:
        caller = await self._callers.client(request)
        if caller.proof == "next":
            await self._write(caller.settle)
        return caller, await asyncio.to_thread(self._desk.look, caller.device_id, datetime.now(UTC))

    async def _write(self, work: Callable[[Connection, datetime], Any]) -> Any:
        try:
            return await self._intake.submit(work)
        except HttpError:
            raise
        except MusterError as error:
            raise refusal(error) from error

    def _note(self, connection: Connection, device_id: str, asks: int | None, at: datetime) -> View:
        try:
            note_poll(connection, device_id, at)
        except Refused as error:
            raise DdiError(429, error.message, headers={"Retry-After": "3600"}) from error
        if asks is not None:
            ask(connection, device_id, asks, at)
        return self._desk.view(connection, device_id, at)

    def _take(self, connection: Connection, who: tuple[Caller, View], sent: ConfigData, at: datetime) -> None:
        """Keep the attributes; a client of the gateway's that names its class is in the inventory from then on."""
        caller, view = who
        client = view.client
        if not client.known:
            note_poll(connection, client.device_id, at)
        attributes = sent.applied(self._desk.view(connection, client.device_id, at).client.attributes)
        if (wrong := complaint(attributes)) is not None:
            raise DdiError(429 if wrong.startswith("more than") else 400, wrong)
        if zone_of(attributes.get(TIME_ZONE)) is None:
            raise DdiError(400, f"{TIME_ZONE}: no such zone is known here")
        keep_attributes(connection, client.device_id, attributes)
        if client.device is None and caller.by_gateway and DEVICE_CLASS in attributes:
            self._register(connection, client.device_id, attributes, at)
        hear_health(connection, self._desk.view(connection, client.device_id, at), at)

    def _register(self, connection: Connection, device_id: str, attributes: dict[str, str], at: datetime) -> None:
        name = attributes[DEVICE_CLASS]
        said = self._desk.classes(connection).get(name)
        if said is None:
            raise DdiError(400, f"{DEVICE_CLASS}: {name} is no class whose devices have an update client")
        try:
            labels = labels_of(attributes)
        except ValueError as error:
            raise DdiError(400, "too many labels") from error
        try:
            register(connection, device_id, (name, said["models"]), labels, at)
        except Refused as error:
            raise DdiError(403, error.message) from error

    def _begin(self, connection: Connection, device_id: str, action_id: int, at: datetime) -> View:
        view = self._desk.view(connection, device_id, at)
        if isinstance(view.step, Deploy) and view.step.action_id == action_id and view.action(action_id) is None:
            begin(connection, view.client, view.step, at)
            view = self._desk.view(connection, device_id, at)
        return view

    def _file(self, view: View, action_id: int, states: set[str]) -> dict[str, Any]:
        action = view.action(action_id)
        if action is None or action.state not in states or view.step == Cancel(action_id):
            raise not_found()
        file: dict[str, Any] | None = view.files.get(action.artifact)
        if file is None:
            raise not_found()
        return file

    async def _details(self, request: Request, view: View, action: Action) -> Response:
        file = view.files.get(action.artifact)
        if file is None:
            raise not_found()
        wanted = request.query_params.get("actionHistory", "0")
        most = int(wanted) if wanted.lstrip("-").isdigit() and wanted.isascii() and len(wanted) < 6 else 0
        told, device_id = [], view.client.device_id
        if most:
            told = await self._write(lambda connection, _at: messages(connection, device_id, action.action_id))
        return answer(request, deployment_body(base_url(request), action, file, (most, told)))


def _in_hawkbits_shape(handler: _Handler) -> _Handler:
    """What else goes wrong is told in the shape of its other errors."""

    @functools.wraps(handler)
    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except DdiError:
            raise
        except HttpError as error:
            raise DdiError(error.status, error.message, headers=error.headers) from error

    return answered


async def _parse(kind: type[_Body], request: Request) -> _Body:
    try:
        return kind.model_validate_json(await read_json(request))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DdiError(400, f"{place or 'body'}: {first['msg']}") from error


def _number(request: Request, name: str = "action_id") -> int:
    text = request.path_params[name]
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) <= LARGEST_ID:
        raise not_found()
    return int(text)

"""HTTP for samples. Devices send and erase their own; operators list, read, and erase.

What is not declared is not taken: the published desired documents say which purposes there are. A device has one
request about samples under way at a time. A content is raw elements; nothing here opens it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from muster.kinds.capture import LARGEST_CHUNK, LARGEST_RECORD, LARGEST_SAMPLE, Capture, CaptureRecord, SampleId
from muster.kinds.digest import DeviceId, Name
from muster.plan.world import Published
from muster.serve.answers import HttpError, Person, answered, bounded_body, page, parsed
from muster.serve.callers import Callers
from muster.serve.capture.store import CaptureStore, NotTakenError, Progress
from muster.serve.intake import Intake
from muster.serve.operations import Answer, Limit, Operation, described
from muster.serve.queries import named, number

BODY_LIMIT = 4 * 1024
PAGE = 1_000
SWEEP_SECONDS = 3_600.0
RETRY_AFTER = {"Retry-After": "60"}
WAITING = 64
"""Requests about samples that may wait for the folder; more are asked to come back."""

log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_Body = TypeVar("_Body", bound=BaseModel)
_sample_id: TypeAdapter[str] = TypeAdapter(SampleId)
_Offset = Annotated[int, Field(ge=0, le=LARGEST_SAMPLE)]
_AfterSample = Annotated[str, Field(max_length=64)]
_ID = {"id": SampleId}
_OCTETS = "application/octet-stream"


class AskedToErase(BaseModel):
    """The body of POST /v1/captures/erase: what this device sent under this purpose."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    purpose: Name


class AskedToForget(BaseModel):
    """The body of POST /v1/captures/forget."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    by: Person
    purpose: Name | None = None
    device_id: DeviceId | None = None


class ProgressAnswer(BaseModel):
    """How far the content of a sample has come, in bytes, and whether the sample is whole."""

    received: int
    complete: bool


class ErasedAnswer(BaseModel):
    """How many samples are gone."""

    erased: int


class SamplesAnswer(BaseModel):
    """Records with `expiresAt`, in the order of their ids; `next` is what `after` says for the following page."""

    items: list[dict[str, Any]]
    next: str | None


class CaptureRoutes:
    """Handlers. `operator`: an answer 401 unless an operator calls."""

    def __init__(
        self,
        store: CaptureStore,
        published: Callable[[], Published],
        callers: Callers,
        intake: Intake,
        operator: Callable[[Request], None],
    ) -> None:
        self._store = store
        self._published = published
        self._callers = callers
        self._intake = intake
        self._operator = operator
        self._sending: set[str] = set()
        # A thread of its own: who waits for this folder must not take the threads that reports need.
        self._worker = ThreadPoolExecutor(1, "captures")
        self._waiting = 0

    @described(
        Operation(
            summary="Begin to send a sample, or ask how far its content has come",
            caller="device",
            body=CaptureRecord,
            answers={201: Answer("Known, and durable.", ProgressAnswer)},
            refusals=(404, 410, 503),
        )
    )
    async def begin(self, request: Request) -> JSONResponse:
        """POST /v1/captures: the record of a sample; may be repeated. The answer says where its content goes on."""
        device_id = await self._device(request)
        with self._only_one(device_id):
            record = await self._read(request, CaptureRecord, LARGEST_RECORD)
            terms = await asyncio.to_thread(self._terms, device_id, record)
            if terms is None:
                raise HttpError(410, f"{record.purpose} is not declared for this device's class and {record.model}")
            progress = await self._do(lambda: self._store.begin(device_id, record, terms))
        return _said(progress, 201)

    @described(
        Operation(
            summary="Add raw elements to a sample: little endian, C order",
            caller="device",
            body=bytes,
            body_type=_OCTETS,
            path=_ID,
            query={"offset": _Offset},
            answers={
                200: Answer("Added.", ProgressAnswer),
                409: Answer("Nothing was changed: the content goes on elsewhere.", ProgressAnswer),
            },
            refusals=(404, 415, 503),
        )
    )
    async def content(self, request: Request) -> JSONResponse:
        """POST /v1/captures/{id}/content?offset=: a chunk of raw elements."""
        device_id = await self._device(request)
        if request.headers.get("content-type", "").partition(";")[0].strip() != _OCTETS:
            raise HttpError(415, f"a chunk of content is {_OCTETS}")
        sample, offset = _sample(request), number(request, "offset", 0, LARGEST_SAMPLE)
        with self._only_one(device_id):
            chunk = await bounded_body(request, LARGEST_CHUNK)
            progress = await self._do(lambda: self._store.add(device_id, sample, offset, chunk))
        # A chunk that did not fit on changed nothing; the answer tells where the next one begins.
        return _said(progress, 200 if progress.complete or progress.received == offset + len(chunk) else 409)

    @described(
        Operation(
            summary="Erase what this device sent under a purpose: consent was withdrawn",
            caller="device",
            body=AskedToErase,
            answers={200: Answer("Gone.", ErasedAnswer)},
            refusals=(503,),
        )
    )
    async def erase(self, request: Request) -> JSONResponse:
        """POST /v1/captures/erase: consent to a purpose was withdrawn on this device."""
        device_id = await self._device(request)
        with self._only_one(device_id):
            asked = await self._read(request, AskedToErase, BODY_LIMIT)
            erased = await self._do(lambda: self._store.erase(device_id, asked.purpose))
        return JSONResponse({"erased": erased})

    @described(
        Operation(
            summary="Erase what was sent under a purpose, by a device, or by a device under a purpose",
            caller="operator",
            body=AskedToForget,
            answers={200: Answer("Gone, and in the ledger.", ErasedAnswer)},
            refusals=(503,),
        )
    )
    async def forget(self, request: Request) -> JSONResponse:
        """POST /v1/captures/forget: a person has samples erased, of a purpose or a device."""
        self._operator(request)
        asked = await self._read(request, AskedToForget, BODY_LIMIT)
        erased = await self._do(lambda: self._store.forget(asked.by, purpose=asked.purpose, device_id=asked.device_id))
        return JSONResponse({"erased": erased})

    @described(
        Operation(
            summary="Records of samples that are whole, without who sent them",
            caller="operator",
            query={"model": Name, "purpose": Name, "after": _AfterSample, "limit": Limit},
            answers={200: Answer("A page.", SamplesAnswer)},
            refusals=(503,),
        )
    )
    async def listed(self, request: Request) -> JSONResponse:
        """GET /v1/captures?model=&purpose=&after=&limit=: records of whole samples, without who sent them."""
        self._operator(request)
        limit = number(request, "limit", 100, PAGE)
        after = named(request, "after", _AfterSample) or ""
        model, purpose = named(request, "model", Name), named(request, "purpose", Name)
        rows = await self._do(lambda: self._store.page(model, purpose, after, limit))
        return JSONResponse(page(rows, limit, "id"))

    @described(
        Operation(
            summary="The raw elements of a sample",
            caller="operator",
            path=_ID,
            answers={200: Answer("Little endian, C order.", None, _OCTETS)},
            refusals=(404, 503),
        )
    )
    async def read(self, request: Request) -> Response:
        """GET /v1/captures/{id}/content: the raw elements of a sample."""
        self._operator(request)
        sample = _sample(request)
        data = await self._do(lambda: self._store.content(sample))
        headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
        return Response(data, media_type="application/octet-stream", headers=headers)

    async def keep_swept(self) -> None:
        """Erase what is due, now and every hour, until cancelled."""
        while True:
            try:
                await self._do(self._store.sweep)
            except HttpError as error:
                log.warning("samples that are due were not erased: %s", error.message)
            await asyncio.sleep(SWEEP_SECONDS)

    def _terms(self, device_id: str, record: CaptureRecord) -> Capture | None:
        """What is published about a record's purpose for the class that the device is enrolled with."""
        if self._store.class_of(device_id) != record.device_class:
            return None
        document = self._published().documents.get((record.model, record.device_class))
        declared = document.capture if document else ()
        return next((terms for terms in declared if terms.purpose == record.purpose), None)

    def close(self) -> None:
        """Finish what is under way."""
        self._worker.shutdown()

    async def _do(self, work: Callable[[], _Answer]) -> _Answer:
        if self._waiting >= WAITING:
            raise HttpError(503, "too many requests about samples are waiting", headers=RETRY_AFTER)
        self._waiting += 1
        try:
            with answered(refused=422, retry=RETRY_AFTER):
                return await self._in_turn(work)
        finally:
            self._waiting -= 1

    async def _in_turn(self, work: Callable[[], _Answer]) -> _Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except NotTakenError as error:
            headers = RETRY_AFTER if error.status == 429 else None
            raise HttpError(error.status, error.message, error.hint, headers) from error

    async def _read(self, request: Request, model: type[_Body], limit: int) -> _Body:
        return await parsed(model.model_validate_json, await bounded_body(request, limit))

    async def _device(self, request: Request) -> str:
        """The id of the device that calls. Raises `HttpError`: 401, 429."""
        caller = await self._callers.device(request)
        if caller.proof == "next":
            await self._intake.submit(caller.settle)
        return caller.device_id

    @contextlib.contextmanager
    def _only_one(self, device_id: str) -> Iterator[None]:
        """A device that does not wait for its answers would take the places of others."""
        if device_id in self._sending:
            raise HttpError(429, "a request of this device is under way", "send one after the other", RETRY_AFTER)
        self._sending.add(device_id)
        try:
            yield
        finally:
            self._sending.discard(device_id)


def _said(progress: Progress, status: int) -> JSONResponse:
    return JSONResponse({"received": progress.received, "complete": progress.complete}, status)


def _sample(request: Request) -> str:
    try:
        return _sample_id.validate_python(request.path_params["id"])
    except ValidationError as error:
        raise HttpError(404, "there is no such sample") from error

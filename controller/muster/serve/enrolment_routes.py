"""What a device calls to become known: enrol, and announce another secret.

Strangers cost little: who may ask is settled on a connection that only reads, before a body is looked at in earnest and
before a request takes a place among those that wait for the disk.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json
from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import JSONResponse

from muster.attest.state_keys import class_token
from muster.kinds.enrolment import EnrolmentSpec
from muster.kinds.errors import TryAgain
from muster.observe.admission import NotVouchedError, Outcome, admit, is_registered, terms
from muster.observe.inventory import Enrolment, Secret, announce_secret
from muster.serve.answers import RETRY_AFTER, HttpError, answered, bounded_body, parsed
from muster.serve.callers import Callers
from muster.serve.guard import Guard
from muster.serve.intake import Intake
from muster.serve.metrics import ENROLMENTS
from muster.serve.operations import Answer, Operation, described

ENROLMENT_LIMIT = 32 * 1024
SECRET_LIMIT = 1_024
ASK_AGAIN = {"Retry-After": "60"}


class EnrolmentAnswer(BaseModel):
    """`new`: whether the device was unknown before. `waiting`: a person has to accept it first; ask again later."""

    device_id: str
    new: bool
    waiting: bool = False


class NewSecret(BaseModel):
    """The secret that the device will use from now on."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    secret: Secret


class SecretAnswer(BaseModel):
    """The new secret holds; the old one as well, until the new one was used."""

    device_id: str


@dataclass(frozen=True)
class _Claims:
    """The parts of an enrolment that settle whether it is looked at, before it is."""

    device_id: str
    device_class: str
    token: str
    secret: str


class EnrolmentRoutes:
    """Handlers for devices that are not known yet, or want another secret."""

    def __init__(self, engine: Engine, intake: Intake, enrolment_token: Path, guard: Guard) -> None:
        self._engine = engine
        self._intake = intake
        self._enrolment_token = enrolment_token
        self._guard = guard
        self._callers = Callers(engine, guard)

    @described(
        Operation(
            summary="Become a device of the fleet. May be repeated with the same secret",
            body=Enrolment,
            answers={
                201: Answer("Enrolled.", EnrolmentAnswer),
                202: Answer("A person has to accept the device.", EnrolmentAnswer, headers={"Retry-After": "Seconds."}),
            },
            refusals=(400, 401, 403, 409, 429, 503),
        )
    )
    async def enrol(self, request: Request) -> JSONResponse:
        """POST /v1/enrol."""
        self._guard.enrolment(request)
        certified = self._guard.proxies.certified(request)
        body = await bounded_body(request, ENROLMENT_LIMIT)
        claims = _claims(body)
        if certified is not None and certified != claims.device_id:
            self._guard.proved_nothing(request)
            raise HttpError(403, "the certificate is another device's", "a device enrols itself only")
        vouched = certified is not None or await asyncio.to_thread(self._shows_token, claims)
        if not vouched and not await asyncio.to_thread(self._is_registered, claims):
            self._guard.proved_nothing(request)
            raise _not_vouched()
        enrolment = await parsed(Enrolment.model_validate_json, body)
        with answered(refused=409, retry=RETRY_AFTER):
            try:
                outcome: Outcome = await self._intake.submit(
                    lambda connection, now: admit(connection, enrolment, now, vouched=vouched)
                )
            except NotVouchedError as error:
                raise _not_vouched() from error
        ENROLMENTS.inc(outcome == "new")
        said = {"device_id": enrolment.device_id, "new": outcome == "new"}
        if outcome == "waiting":
            return JSONResponse({**said, "waiting": True}, 202, headers=ASK_AGAIN)
        return JSONResponse(said, 201)

    @described(
        Operation(
            summary="Announce another secret. The old one holds until the first request with the new one",
            caller="device",
            body=NewSecret,
            answers={200: Answer("Both hold.", SecretAnswer)},
            refusals=(503,),
        )
    )
    async def secret(self, request: Request) -> JSONResponse:
        """POST /v1/secret."""
        caller = await self._callers.device(request)
        new = await parsed(NewSecret.model_validate_json, await bounded_body(request, SECRET_LIMIT))

        def work(connection: Connection, now: datetime) -> None:
            caller.settle(connection, now)
            announce_secret(connection, caller.device_id, new.secret)

        try:
            await self._intake.submit(work)
        except TryAgain as error:
            raise HttpError(503, error.message, error.hint, RETRY_AFTER) from error
        return JSONResponse({"device_id": caller.device_id})

    def _shows_token(self, claims: _Claims) -> bool:
        # Read each time: a token that was changed holds at once.
        token = self._enrolment_token.read_text().strip()
        with self._engine.connect() as connection:
            rules = terms(connection, claims.device_class)
        return hmac.compare_digest(claims.token.encode(), _expected(token, claims.device_class, rules).encode())

    def _is_registered(self, claims: _Claims) -> bool:
        with self._engine.connect() as connection:
            return is_registered(connection, claims.device_id, claims.secret)


def _expected(token: str, device_class: str, rules: EnrolmentSpec | None) -> str:
    return token if rules is None else class_token(token, device_class, rules.token_generation)


def _claims(body: bytes) -> _Claims:
    """What an enrolment that is not yet looked at says of itself."""
    try:
        value: Any = from_json(body)
    except ValueError as error:
        raise HttpError(422, "the body is not JSON") from error
    if not isinstance(value, dict):
        raise HttpError(422, "the body is no object")
    found: dict[str, Any] = {}
    for name in ("device_id", "device_class", "secret", "token"):
        found[name] = value.get(name)
        if name == "token" and found[name] is None:
            found[name] = ""
        if not isinstance(found[name], str):
            raise HttpError(422, f"{name}: a string is missing")
    return _Claims(**found)


def _not_vouched() -> HttpError:
    return HttpError(401, "the enrolment token is not valid", "ask the owner of the fleet for the current one")

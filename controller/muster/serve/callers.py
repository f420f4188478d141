"""Which device calls: settled by its secret, by a certificate that a trusted proxy verified, or by both, which then
have to name the same device. Nothing else that a request holds says who it is from.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from muster.observe.inventory import Proof, adopt_secret, hash_secret, is_enrolled, proof
from muster.serve.answers import HttpError, bearer, bearer_in
from muster.serve.asking import Asking
from muster.serve.guard import Guard

MOST_REMEMBERED = 100_000


class Caller(NamedTuple):
    """A device that proved itself."""

    device_id: str
    secret: str | None = None
    proof: Proof | None = None
    remembered: bool = False
    """Proved before, and not looked up for this request."""
    secret_hash: str | None = None
    """Of `secret`, if it is the one that holds."""
    by_gateway: bool = False
    """Its gateway's word: it may be a device that is in no inventory yet."""

    def settle(self, connection: Connection, now: datetime) -> None:
        """To be called in the transaction of what the device asks for: the first use of a new secret ends the old."""
        if self.proof == "next" and self.secret is not None:
            adopt_secret(connection, self.device_id, self.secret, now)


class Callers:
    """Finds out who calls, on a connection that only reads."""

    def __init__(self, engine: Engine, guard: Guard) -> None:
        self._engine = engine
        self._guard = guard
        self._remembered: OrderedDict[str, str] = OrderedDict()
        """Device → hash of the secret that proved it, from the longest unheard on."""

    async def device_to_be_settled(self, request: Asking) -> Caller:
        """The same as `device`, for a request whose own transaction looks whether the secret still holds: a device
        that proved itself with it before is not looked up for it again. If it does not hold, `forget` it and ask again.
        """
        authorization = request.headers.get("authorization", "")
        if authorization and self._guard.proxies.certified(request) is None:
            device_id, _, secret = bearer_in(authorization).rpartition(":")
            hashed = hash_secret(secret)
            if hmac.compare_digest(self._remembered.get(device_id, ""), hashed):
                self._remembered.move_to_end(device_id)
                self._guard.device(device_id)
                return Caller(device_id, secret, "current", remembered=True, secret_hash=hashed)
        caller = await self.device(request)
        if caller.secret_hash is not None:
            self._remembered[caller.device_id] = caller.secret_hash
            if len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        return caller

    def forget(self, device_id: str) -> None:
        """Look the device up again, the next time that it calls."""
        self._remembered.pop(device_id, None)

    async def device(self, request: Asking) -> Caller:
        """The device that calls. Raises `HttpError`: 401, 429."""
        certified = self._guard.proxies.certified(request)
        if certified is not None and "authorization" not in request.headers:
            return await self._certified(request, certified)
        device_id, _, secret = bearer(request).rpartition(":")
        self._guard.before_proof(request, device_id)
        if certified is not None and certified != device_id:
            self._guard.proved_nothing(request)
            raise HttpError(401, "the certificate is another device's", "a device shows its own certificate and secret")
        shown = await asyncio.to_thread(self._proof, device_id, secret)
        if shown is None:
            self._guard.proved_nothing(request)
            raise HttpError(401, "the device is not enrolled, or this is not its secret", "enrol the device again")
        self._guard.device(device_id)
        return Caller(device_id, secret, shown, secret_hash=hash_secret(secret) if shown == "current" else None)

    async def _certified(self, request: Asking, device_id: str) -> Caller:
        self._guard.before_proof(request, device_id)
        if not await asyncio.to_thread(self._is_device, device_id):
            self._guard.proved_nothing(request)
            raise HttpError(401, "the device of this certificate is not enrolled", "enrol the device again")
        self._guard.device(device_id)
        return Caller(device_id)

    def _proof(self, device_id: str, secret: str) -> Proof | None:
        with self._engine.connect() as connection:
            return proof(connection, device_id, secret)

    def _is_device(self, device_id: str) -> bool:
        with self._engine.connect() as connection:
            return is_enrolled(connection, device_id)

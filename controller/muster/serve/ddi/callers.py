"""Which update client calls, and for which device: settled by the device's own secret, by a certificate that a trusted
proxy verified, or by the gateway's token. The id in the path only says who is meant; it proves nothing.

A device that was revoked, or that waits for a person, is answered like a stranger, whatever token is shown for it.
"""

from __future__ import annotations

import asyncio
import hmac
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Engine
from starlette.requests import Request

from muster.kinds.digest import DeviceId
from muster.observe.admission import is_barred
from muster.observe.inventory import Proof, is_enrolled, proof
from muster.serve.callers import Caller
from muster.serve.ddi.answers import DdiError
from muster.serve.guard import Guard

GATEWAY_TOKEN_LENGTH: Final = 32
_LONGEST_TOKEN: Final = 256

_device_id: Final = TypeAdapter(DeviceId)


class ClientCallers:
    """Finds out who calls, on a connection that only reads. Without a file `gateway_token`, none of those holds."""

    def __init__(self, engine: Engine, guard: Guard, gateway_token: Path) -> None:
        self._engine = engine
        self._guard = guard
        self._gateway_token = gateway_token

    async def client(self, request: Request) -> Caller:
        """The client that calls. Raises `HttpError`: 400 (no device id), 401 (nothing is proved), 429."""
        certified = self._guard.proxies.certified(request)
        try:
            device_id = _device_id.validate_python(request.path_params["controller_id"])
        except ValidationError as error:
            self._guard.before_proof(request)
            self._guard.proved_nothing(request)
            raise DdiError(400, "the controller id is no device id") from error
        self._guard.before_proof(request, device_id)
        found = None
        if certified in (None, device_id):
            authorization = request.headers.get("authorization")
            found = await asyncio.to_thread(self._proved, device_id, authorization, certified is not None)
        if found is None:
            self._guard.proved_nothing(request)
            raise DdiError(401, "no valid token")
        self._guard.device(device_id)
        return found

    def _proved(self, device_id: str, authorization: str | None, is_certified: bool) -> Caller | None:
        with self._engine.connect() as connection:
            if authorization is None:
                return Caller(device_id) if is_certified and is_enrolled(connection, device_id) else None
            scheme, _, token = authorization.partition(" ")
            if scheme == "TargetToken" and len(token) <= _LONGEST_TOKEN:
                shown: Proof | None = proof(connection, device_id, token)
                return Caller(device_id, token, shown) if shown else None
            if scheme == "GatewayToken" and self._is_gateway(token) and not is_barred(connection, device_id):
                return Caller(device_id, by_gateway=True)
        return None

    def _is_gateway(self, token: str) -> bool:
        """Read each time: a token that was changed or removed holds at once."""
        try:
            known = self._gateway_token.read_text().strip()
        except OSError:
            return False
        return len(known) >= GATEWAY_TOKEN_LENGTH and hmac.compare_digest(known.encode(), token.encode())

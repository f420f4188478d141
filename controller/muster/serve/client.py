"""Asking a running controller, with the operator token of its state folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

from muster.attest.state_keys import StateKeys
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable

LARGEST_ANSWER = 64 * 2**20


class ControllerClient:
    """Read-only questions. Raises `TryAgain` if nobody answers, `Refused` or `Unusable` for what the answer says."""

    def __init__(self, server: str, state: Path) -> None:
        if not server.startswith(("http://", "https://")):
            raise Unusable(f"not a server: {server!r}", "write http://127.0.0.1:8470")
        self._server = server.rstrip("/")
        self._token = StateKeys.of(state).operator_token()
        self._http = urllib3.PoolManager(timeout=urllib3.Timeout(10), retries=False)

    def get(self, path: str, **query: str | int) -> Any:
        """The JSON answer to GET `path`."""
        try:
            answer = self._http.request(
                "GET",
                f"{self._server}{path}",
                fields={name: str(value) for name, value in query.items()},
                headers={"Authorization": f"Bearer {self._token}"},
                preload_content=False,
            )
            body = answer.read(LARGEST_ANSWER)
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise TryAgain(
                f"no controller answers at {self._server}: {_cause(error)}", "start one: muster run"
            ) from error
        if answer.status != 200:
            raise _error(answer.status, body)
        return _json(body)

    def pages(self, path: str, **query: str | int) -> Iterator[Any]:
        """The items of every page."""
        after: Any = None
        while True:
            page = self.get(path, **query, **({} if after is None else {"after": after}))
            yield from page["items"]
            after = page["next"]
            if after is None:
                return


def _cause(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).split(": ", 1)[-1]


def _error(status: int, body: bytes) -> MusterError:
    said = _json(body) if body[:1] == b"{" else {}
    message = said.get("error", f"the controller answered {status}")
    if status == 401:
        return Unusable(message, "give the state folder of that controller with --state")
    return TryAgain(message, said.get("hint")) if status >= 500 else Refused(message, said.get("hint"))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Unusable("the answer is not JSON", "is this address a controller's?") from error

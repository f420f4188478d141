"""Asking a running controller, with the operator token of its state folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import urllib3

from muster.attest.state_keys import StateKeys
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable
from muster.kinds.field_state import FieldState
from muster.serve.field_answer import read_field_answer

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
Query = str | int | list[str]
LARGEST_ANSWER = 64 * 2**20
COUNTING_SECONDS = 120
"""How long a controller may count its devices before it answers about its field."""


class ControllerClient:
    """Questions, and what an operator may do by hand.

    Raises `TryAgain` if nobody answers, `Refused` or `Unusable` for what the answer says.
    """

    def __init__(self, server: str, state: Path, token: str | None = None) -> None:
        """`token` stands in for that of the state folder, where the controller runs on another machine."""
        if not server.startswith(("http://", "https://")):
            raise Unusable(f"not a server: {server!r}", "write http://127.0.0.1:8470")
        if token is not None and not _TOKEN.fullmatch(token):
            raise Unusable("the operator token holds what no token holds", "take it from keys/operator-token as it is")
        self._server = server.rstrip("/")
        self._token = token or StateKeys.of(state).operator_token()
        self._http = urllib3.PoolManager(retries=False)

    def get(self, path: str, **query: Query) -> Any:
        """The JSON answer to GET `path`."""
        return _json(self._body(path, query, 10))

    def data(self, path: str) -> bytes:
        """The bytes that GET `path` answers."""
        return self._body(path, {}, 10)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to POST `path`."""
        return _json(self._body(path, {}, 10, json.dumps(body).encode()))

    def field_state(self) -> FieldState:
        """What the controller knows of its field. Raises `Unusable` if the answer is none."""
        return read_field_answer(self._body("/v1/field", {}, COUNTING_SECONDS))

    def _body(self, path: str, query: Mapping[str, Query], seconds: int, given: bytes | None = None) -> bytes:
        fields = [(name, str(one)) for name, value in query.items() for one in _each(value)]
        asked: dict[str, Any] = {"fields": fields}
        try:
            answer = self._http.request(
                "GET" if given is None else "POST",
                f"{self._server}{path}",
                **(asked if given is None else {"body": given}),
                headers={"Authorization": f"Bearer {self._token}"},
                preload_content=False,
                timeout=urllib3.Timeout(connect=10, read=seconds),
            )
            body = answer.read(LARGEST_ANSWER)
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise TryAgain(
                f"no controller answers at {self._server}: {_cause(error)}", "start one: muster run"
            ) from error
        if answer.status != 200:
            raise _error(answer.status, body)
        return body

    def pages(self, path: str, **query: Query) -> Iterator[Any]:
        """The items of every page."""
        return self.pages_after(path, None, **query)

    def pages_after(self, path: str, after: Any, **query: Query) -> Iterator[Any]:
        """The items of every page that follows `after`; None: of all."""
        while True:
            page = self.get(path, **query, **({} if after is None else {"after": after}))
            yield from page["items"]
            after = page["next"]
            if after is None:
                return


def _each(value: Query) -> Sequence[str | int]:
    return value if isinstance(value, list) else [value]


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

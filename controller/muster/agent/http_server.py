"""The server over HTTP: one pool of connections per process, no redirects, no retries, bounded time.

A redirect could lead the device's secret to another host, so it counts as an error. Retries belong to the schedule,
which knows of the rest of the fleet. How long an answer may take is settled in `connections`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import urllib3

from muster import __version__
from muster.agent.connections import make_pool
from muster.agent.server import POST_ANSWER_LIMIT, Answer
from muster.agent.setbacks import server_away

_CHUNK = 256 * 1024


class HttpServer:
    """Satisfies `Server`. `url` as `identity.parse_server` returns it; the pool may be shared between devices.

    A download ends when `stopped` says so: it goes on at the next start.
    """

    def __init__(
        self, url: str, pool: urllib3.PoolManager | None = None, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._url = url
        self._pool = pool or make_pool()
        self._stopped = stopped

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """GET."""
        if self._stopped():
            raise server_away("the agent is asked to stop")
        response = self._request("GET", path, headers, None)
        try:
            yield self._answer(response)
        finally:
            # Closing an unread body ends its connection; an exhausted one goes back to the pool.
            response.release_conn() if response.closed else response.close()

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST."""
        response = self._request("POST", path, {"Content-Type": "application/json", **headers}, body)
        try:
            answer = self._answer(response)
            return Answer(answer.status, answer.headers, iter([answer.read(POST_ANSWER_LIMIT)]))
        finally:
            response.release_conn() if response.closed else response.close()

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> urllib3.BaseHTTPResponse:
        try:
            response = self._pool.request(
                method,
                self._url + path,
                headers={"User-Agent": f"muster/{__version__}", "Accept-Encoding": "identity", **headers},
                body=body,
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise server_away(f"{self._url} does not answer: {type(error).__name__}") from error
        if 300 <= response.status < 400 and response.status != 304:
            response.close()
            raise server_away(f"{self._url} answers with a redirect, which is not followed")
        return response

    def _answer(self, response: urllib3.BaseHTTPResponse) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, _chunks(response, self._stopped))


def _chunks(response: urllib3.BaseHTTPResponse, stopped: Callable[[], bool]) -> Iterator[bytes]:
    try:
        # read1 returns what has come: read would wait for a full chunk, however slowly that drips.
        while chunk := response.read1(_CHUNK, decode_content=False):
            yield chunk
            if stopped():
                raise server_away("the agent is asked to stop")
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise server_away(f"the answer broke off: {type(error).__name__}") from error

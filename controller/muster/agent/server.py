"""The server, as the agent sees it: paths to get and to post to. Tests bring their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from muster.agent.setbacks import server_away

METADATA = "/tuf/metadata/"
TARGETS = "/tuf/targets/"
ENROL = "/v1/enrol"
REPORTS = "/v1/reports"
NEW_SECRET = "/v1/secret"  # noqa: S105 - a path
CAPTURES = "/v1/captures"

POST_ANSWER_LIMIT = 64 * 1024
LONGEST_PAUSE = 3_600.0


@dataclass(frozen=True)
class Answer:
    """`headers` have lower-case names. `chunks` can be read once."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterator[bytes]

    def read(self, limit: int) -> bytes:
        """The whole body. Raises `Postponed` if it is longer than `limit` bytes."""
        body = bytearray()
        for chunk in self.chunks:
            body += chunk
            if len(body) > limit:
                raise server_away(f"the server answers with more than {limit} bytes")
        return bytes(body)

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, an hour at most.

        A date counts from the answer's own Date: the device's clock may be wrong.
        """
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:9]), LONGEST_PAUSE)
        until, sent = _date(text), _date(self.headers.get("date", ""))
        if until is None or sent is None:
            return None
        return min(max((until - sent).total_seconds(), 0.0), LONGEST_PAUSE)


def _date(text: str) -> datetime | None:
    """An HTTP-date (RFC 9110, 5.6.7), which is in UTC."""
    try:
        found = parsedate_to_datetime(text[:64])
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Server(Protocol):
    """Both methods raise `Postponed` (server_away) if there is no answer; a status code is an answer."""

    def get(self, path: str, headers: Mapping[str, str]) -> AbstractContextManager[Answer]:
        """GET a path that starts with `/`."""

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST JSON, unless the headers name another type; the answer's body is at most `POST_ANSWER_LIMIT` bytes."""

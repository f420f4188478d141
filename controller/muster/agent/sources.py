"""Where published files are fetched: the server, and mirrors of its `/tuf/` that know nothing of devices.

Small files come from the server first, which is never behind. Artifacts come from the mirrors first, each device's in
an order of its own, and from the server last. A source that failed, or gave wrong bytes, is asked after the others for
a while; one that asked for a pause is not asked before its end. TUF decides what is believed, so a mirror needs no
trust, and it is told no secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from muster.agent.server import Answer, Server
from muster.agent.setbacks import Postponed, server_away
from muster.plan.assignment import bucket

REST = 300.0
"""Seconds that a source which failed comes after the others."""


@dataclass(frozen=True)
class Source:
    """`url` is empty for the server itself."""

    url: str
    server: Server


class Sources:
    """The sources of one device. `steady` gives seconds of the steady clock."""

    def __init__(
        self,
        server: Server,
        mirrors: Mapping[str, Server] = MappingProxyType({}),
        device_id: str = "",
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origin = Source("", server)
        self._mirrors = sorted(
            (Source(url, mirror) for url, mirror in mirrors.items()),
            key=lambda source: bucket(f"mirror/v1|{source.url}", device_id),
        )
        self._steady = steady
        self._rests: dict[str, float] = {}
        self._closed: dict[str, float] = {}
        self._asked = self._origin

    def for_artifacts(self) -> Sequence[Source]:
        """In the order in which they are to be asked. Raises `Postponed` if all asked for a pause."""
        return self._open([*self._mirrors, self._origin])

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """GET a small file from the first source that answers with it, or with less than an error of its own.

        Satisfies `Server.get`. What goes wrong in the middle of an answer rests its source until the next round.
        """
        with ExitStack() as held:
            source, answer = self._first(path, headers, held)
            self._asked = source
            try:
                yield answer
            except Postponed as setback:
                self.failed(source, setback)
                raise

    def failed(self, source: Source, setback: Postponed) -> None:
        """The source did not give what it should."""
        self._rests[source.url] = self._steady() + REST
        if setback.retry_after:
            self._closed[source.url] = self._steady() + setback.retry_after

    def blame(self) -> None:
        """What the last source gave does not verify."""
        self._rests[self._asked.url] = self._steady() + REST

    def _first(self, path: str, headers: Mapping[str, str], held: ExitStack) -> tuple[Source, Answer]:
        first: Postponed | None = None
        for source in self._open([self._origin, *self._mirrors]):
            try:
                answer = held.enter_context(source.server.get(path, headers))
                if answer.status >= 500 or answer.status == 429:
                    held.close()
                    raise server_away(f"the server answers {answer.status}", answer.retry_after)
            except Postponed as setback:
                self.failed(source, setback)
                first = first or setback
            else:
                return source, answer
        raise first or server_away("there is no server")

    def _open(self, sources: Sequence[Source]) -> Sequence[Source]:
        now = self._steady()
        pauses = {source.url: self._closed.get(source.url, 0.0) - now for source in sources}
        found = [source for source in sources if pauses[source.url] <= 0]
        if not found:
            wait = min(pauses.values())
            raise server_away("the server asked for a pause", wait)
        return sorted(found, key=lambda source: self._rests.get(source.url, 0.0) > now)

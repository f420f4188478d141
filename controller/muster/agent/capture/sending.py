"""Sending samples: withdrawals first and always, then what waits, oldest first, while the device's conditions hold.

A sample is its record, then its content in chunks, each of which says where it begins; the server says how far it has
come, so that what was cut off goes on there. Consent is asked again before every chunk. The place is never held while
something is sent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from muster.agent.capture.conditions import ask, read_settings
from muster.agent.capture.consent import heard, read_consent
from muster.agent.capture.place import CapturePlace
from muster.agent.capture.queue import Waiting, content_of, drop, waiting
from muster.agent.capture.terms import read_terms
from muster.agent.server import CAPTURES, POST_ANSWER_LIMIT, Answer, Server
from muster.agent.setbacks import Postponed, server_away
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Unusable

CHUNK = 64 * 1024
MOST_REQUESTS = 128
MOST_SECONDS = 10.0
"""In a round: polls must not wait for samples for long, also where a line is slow."""
_TRIES = 4
"""Requests for one sample beyond those that its size asks for."""

_REFUSED = (400, 404, 410, 413, 415, 422)
"""The server will not take the sample, however often it is asked."""


@dataclass(frozen=True)
class Sent:
    """What came of a round. `retry_after` in seconds, as the server asked."""

    samples: int = 0
    refused: int = 0
    erased: int = 0
    setback: str | None = None
    retry_after: float = 0.0


class Sender:
    """For one device. `authorization` gives the header that it proves itself with now. `timer` in seconds."""

    def __init__(
        self,
        place: CapturePlace,
        server: Server,
        authorization: Callable[[], str],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place = place
        self._server = server
        self._authorization = authorization
        self._timer = timer
        self._requests = 0
        self._until = 0.0

    def send(self) -> Sent:
        """One round. Raises `TryAgain` and `OSError` from the disk; what the server does is in the result."""
        self._requests, self._until = MOST_REQUESTS, self._timer() + MOST_SECONDS
        erased, sent, refused = 0, 0, 0
        try:
            for purpose, number in sorted(read_consent(self._place).withdrawn.items()):
                self._erase(purpose, number)
                erased += 1
            for sample in self._ready():
                outcome = "stopped" if self._is_over() else self._sample(sample)
                if outcome == "stopped":
                    break
                with self._place.held():
                    drop(self._place, [sample])
                sent, refused = sent + (outcome == "sent"), refused + (outcome == "refused")
        except Postponed as setback:
            return Sent(sent, refused, erased, setback.message, setback.retry_after or 0.0)
        return Sent(sent, refused, erased)

    def _is_over(self) -> bool:
        return not self._requests or self._timer() >= self._until

    def _erase(self, purpose: str, number: int) -> None:
        answer = self._post(f"{CAPTURES}/erase", "application/json", canonical_json({"purpose": purpose}))
        if answer.status != 200:
            raise _away(answer)
        with self._place.held():
            heard(self._place, purpose, number)

    def _ready(self) -> Iterator[Waiting]:
        """What may be sent now. The device is asked once, and only if something waits."""
        terms = read_terms(self._place)
        facts = None
        for sample in waiting(self._place):
            record = sample.envelope.record
            declared = terms.of(record.model, record.purpose)
            if declared is None or not self._may_go(sample):
                continue
            if facts is None:
                facts = ask(_source(self._place))
            if facts.allow(declared.conditions):
                yield sample

    def _may_go(self, sample: Waiting) -> bool:
        """True if the consent stands. Nothing new is sent before the server heard of a withdrawal before it."""
        consent, purpose = read_consent(self._place), sample.envelope.record.purpose
        return consent.given.get(purpose) == sample.envelope.consent and purpose not in consent.withdrawn

    def _sample(self, sample: Waiting) -> Literal["sent", "refused", "stopped"]:
        record = sample.envelope.record
        try:
            content = content_of(sample)
        except Unusable:
            return "refused"
        body = canonical_json(record.model_dump(mode="json", exclude_none=True))
        answer = self._post(CAPTURES, "application/json", body)
        for chunks in range(len(content) // CHUNK + _TRIES):
            if answer.status in _REFUSED:
                return "refused"
            said = _said(answer) if answer.status in (200, 201, 409) else None
            if said is None:
                raise _away(answer)
            if said["complete"]:
                return "sent"
            # One chunk at least: on the slowest line, a round must get somewhere.
            if (chunks and self._is_over()) or not self._may_go(sample):
                return "stopped"
            start = said["received"] if 0 <= said["received"] < len(content) else 0
            path = f"{CAPTURES}/{record.id}/content?offset={start}"
            answer = self._post(path, "application/octet-stream", content[start : start + CHUNK])
        raise server_away("the server does not come to the end of a sample")

    def _post(self, path: str, content_type: str, body: bytes) -> Answer:
        self._requests = max(0, self._requests - 1)
        return self._server.post(path, {"Authorization": self._authorization(), "Content-Type": content_type}, body)


def _source(place: CapturePlace) -> Any:
    try:
        return read_settings(place).facts
    except Unusable:
        return None


def _said(answer: Answer) -> Mapping[str, Any] | None:
    """How far the server is; None if it does not say so."""
    try:
        value = json.loads(answer.read(POST_ANSWER_LIMIT))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or type(value.get("received")) is not int or type(value.get("complete")) is not bool:
        return None
    return value


def _away(answer: Answer) -> Postponed:
    return server_away(f"the server answers {answer.status} to samples", answer.retry_after)

"""Sending the spool: in order, in batches, at least once. The server knows by the sequence number what it has.

A device that lost its journal may number its reports from below what the server has, which then takes them for old
ones. The server's answer tells its last number; whoever calls numbers the reports anew, and sends them again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from muster.agent.journal import Spooled
from muster.agent.server import POST_ANSWER_LIMIT, REPORTS, Answer, Server
from muster.agent.setbacks import Postponed, server_away

BATCH = 100
LAST_SEQUENCE = 2**52
"""A server that claims to have a higher number is not believed: there must be numbers left to count on."""


@dataclass(frozen=True)
class Delivery:
    """`gone`: how many reports, from the oldest on, need not be sent again. `setback`: why the rest was not sent.

    `unknown`: the server does not know the device, which must be enrolled again. `refused`: reports among those gone
    that the server cannot read and never will. `behind`: the server has this sequence number, which is above all that
    the device remembers, and took none of the reports.
    """

    gone: int = 0
    setback: Postponed | None = None
    unknown: bool = False
    refused: int = 0
    behind: int | None = None


def deliver(server: Server, device_id: str, secret: str, waiting: Sequence[Spooled], newest: int) -> Delivery:
    """Send everything that waits. One report that the server refuses does not hold up the others for ever.

    `newest`: the highest sequence number that the device may have used.
    """
    gone, refused, size = 0, 0, BATCH
    while gone < len(waiting):
        batch = waiting[gone : gone + size]
        try:
            answer = _post(server, device_id, secret, batch)
        except Postponed as setback:
            return Delivery(gone, setback, refused=refused)
        if answer.status in (200, 202):
            heard = _last_sequence(answer)
            if newest < heard <= LAST_SEQUENCE:
                return Delivery(gone, refused=refused, behind=heard)
            gone += len(batch)
        elif answer.status in (401, 403):
            return Delivery(gone, unknown=True, refused=refused)
        elif answer.status in (400, 413, 422):
            if len(batch) == 1:
                gone, refused = gone + 1, refused + 1
            size = max(1, len(batch) // 2)
        else:
            away = server_away(f"the server answers {answer.status} to reports", answer.retry_after)
            return Delivery(gone, away, refused=refused)
    return Delivery(gone, refused=refused)


def _post(server: Server, device_id: str, secret: str, batch: Sequence[Spooled]) -> Answer:
    body = b"[" + b",".join(spooled.report.model_dump_json().encode() for spooled in batch) + b"]"
    return server.post(REPORTS, {"Authorization": f"Bearer {device_id}:{secret}"}, body)


def _last_sequence(answer: Answer) -> int:
    """The highest sequence number that the server has; 0 if it does not say."""
    try:
        said = json.loads(answer.read(POST_ANSWER_LIMIT))["last_sequence"]
    except (ValueError, KeyError, TypeError, RecursionError, Postponed):
        return 0
    return said if isinstance(said, int) and not isinstance(said, bool) else 0

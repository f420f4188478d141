"""Sending the spool: in order, in batches, at least once. The server knows by the sequence number what it has.

A device that lost its journal may number its reports from below what the server has, which then takes them for old
ones. The server's answer tells its last number; whoever calls numbers the reports anew, and sends them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from muster.agent.journal import Spooled
from muster.agent.server import POST_ANSWER_LIMIT, REPORTS, Answer, Server
from muster.agent.setbacks import Postponed, server_away
from muster.kinds.enrolment import not_ours
from muster.kinds.resource import Labels

BATCH = 100
LAST_SEQUENCE = 2**52
"""A server that claims to have a higher number is not believed: there must be numbers left to count on."""


class Told(BaseModel):
    """What an answer to reports tells the device. What it says in any other form counts for nothing.

    `labels`: those that people set. `rotate`: the secret is older than the device class lets it be.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    last_sequence: Annotated[int, Field(ge=0)] = 0
    labels: Labels = Field(default_factory=dict)
    rotate: bool = False


@dataclass(frozen=True)
class Delivery:
    """`gone`: how many reports, from the oldest on, need not be sent again. `setback`: why the rest was not sent.

    `unknown`: the server does not know the device, which must be enrolled again. `refused`: reports among those gone
    that the server cannot read and never will. `behind`: the server has this sequence number, which is above all that
    the device remembers, and took none of the reports. `told`: what else the server said, None if nothing was heard.
    """

    gone: int = 0
    setback: Postponed | None = None
    unknown: bool = False
    refused: int = 0
    behind: int | None = None
    told: Told | None = None


def deliver(server: Server, device_id: str, secret: str, waiting: Sequence[Spooled], newest: int) -> Delivery:
    """Send everything that waits. One report that the server refuses does not hold up the others for ever.

    `newest`: the highest sequence number that the device may have used.
    """
    gone, refused, size = 0, 0, BATCH
    told: Told | None = None
    while gone < len(waiting):
        batch = waiting[gone : gone + size]
        try:
            answer = _post(server, device_id, secret, batch)
        except Postponed as setback:
            return Delivery(gone, setback, refused=refused, told=told)
        if answer.status in (200, 202):
            told = _told(answer) or told
            heard = told.last_sequence if told else 0
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
            return Delivery(gone, away, refused=refused, told=told)
    return Delivery(gone, refused=refused, told=told)


def _post(server: Server, device_id: str, secret: str, batch: Sequence[Spooled]) -> Answer:
    body = b"[" + b",".join(spooled.report.model_dump_json().encode() for spooled in batch) + b"]"
    return server.post(REPORTS, {"Authorization": f"Bearer {device_id}:{secret}"}, body)


def _told(answer: Answer) -> Told | None:
    try:
        told = Told.model_validate_json(answer.read(POST_ANSWER_LIMIT))
    except (ValidationError, Postponed):
        return None
    # What the device says of itself is not for the server to say.
    return None if not_ours(told.labels) else told

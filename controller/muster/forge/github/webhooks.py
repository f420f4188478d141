"""Webhooks: GitHub says that something happened. A payload is a hint, never news: it names what to read again.

The signature is checked over the bytes as they came, before anything in them is parsed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from muster.kinds.errors import Refused, Unusable

LARGEST: Final = 25 * 2**20
"""GitHub sends no larger ones, in bytes."""
SHORTEST_SECRET: Final = 16

_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")
_BRANCH = "refs/heads/"


@dataclass(frozen=True)
class Refresh:
    """Read this again: a pull request, or a branch where `number` is None."""

    repository: str
    branch: str
    number: int | None = None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


_Ref = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class _Repository(_Part):
    full_name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}/[A-Za-z0-9._-]{1,100}$")]


class _Base(_Part):
    ref: _Ref


class _Pull(_Part):
    number: Annotated[int, Field(ge=1, lt=10**10)]
    base: _Base


class _PullEvent(_Part):
    repository: _Repository
    pull_request: _Pull


class _PushEvent(_Part):
    repository: _Repository
    ref: _Ref


def read_webhook(event: str, body: bytes, signature: str | None, secret: bytes) -> Refresh | None:
    """What a delivery asks to read again; None for an event, or a tag, that concerns nobody here.

    `event` is the header X-GitHub-Event, `signature` X-Hub-Signature-256. Raises `Refused` if the signature is missing
    or wrong, `Unusable` for a body that is too large or is not what the event promises, or a secret that is too short.
    """
    verify(body, signature, secret)
    try:
        if event in {"pull_request", "pull_request_review"}:
            told = _PullEvent.model_validate_json(body)
            return Refresh(told.repository.full_name, told.pull_request.base.ref, told.pull_request.number)
        if event == "push":
            pushed = _PushEvent.model_validate_json(body)
            if pushed.ref.startswith(_BRANCH):
                return Refresh(pushed.repository.full_name, pushed.ref.removeprefix(_BRANCH))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(step) for step in first["loc"][:8])[:200]
        raise Unusable(f"not a webhook of this event: {place}: {first['msg']}", "send application/json") from None
    return None


def verify(body: bytes, signature: str | None, secret: bytes) -> None:
    """Raises `Refused` unless whoever knows the secret signed exactly these bytes. Any guess takes the same time."""
    if len(secret) < SHORTEST_SECRET:
        raise Unusable(f"the webhook's secret has fewer than {SHORTEST_SECRET} bytes", "make one: openssl rand -hex 32")
    if len(body) > LARGEST:
        raise Unusable(f"the webhook has more than {LARGEST} bytes", "GitHub sends none that large")
    given = _SIGNATURE.fullmatch(signature or "")
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    if given is None or not hmac.compare_digest(given[1], expected):
        raise Refused("the webhook is not signed with the secret", "set the same secret on both sides")

"""What the OpenAPI document says of a route, written beside its handler.

A route whose handler is not described makes `openapi.document` fail, and with it a test: none is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from muster.kinds.digest import DeviceId

Caller = Literal["anyone", "device", "operator", "updateClient"]
_Handler = TypeVar("_Handler", bound=Callable[..., Any])


class ErrorAnswer(BaseModel):
    """Every answer from 400 on: what is wrong, and what would be right."""

    model_config = ConfigDict(extra="forbid")

    error: str
    hint: str | None


@dataclass(frozen=True)
class Answer:
    """What an answer holds: the type of its JSON, or None for no schema. Without a media type it holds nothing."""

    says: str
    of: Any = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """One method of one path. `query` and `path` give the type of each parameter, as pydantic reads it.

    `body_type` is the media type of a body that is not JSON. `refusals` are further status codes that are answered with
    an `ErrorAnswer`; those that follow from `caller` and `body` are added by `openapi`.
    """

    summary: str
    answers: Mapping[int, Answer]
    caller: Caller = "anyone"
    body: Any = None
    body_type: str = "application/json"
    query: Mapping[str, Any] = field(default_factory=dict)
    path: Mapping[str, Any] = field(default_factory=dict)
    refusals: tuple[int, ...] = ()


def described(operation: Operation) -> Callable[[_Handler], _Handler]:
    """Say this of a handler."""

    def mark(handler: _Handler) -> _Handler:
        handler.operation = operation  # type: ignore[attr-defined]
        return handler

    return mark


# What several routes take.
Limit = Annotated[int, Field(ge=0, le=1_000)]
AfterId = Annotated[str, Field(max_length=128)]
DeviceInPath: Mapping[str, Any] = {"device_id": DeviceId}

"""The calls of the DDI API, as one table: routes, their OpenAPI operations and docs/hawkbit.md are made from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, StringConstraints

from muster.kinds.digest import DeviceId
from muster.plan.ddi import LARGEST_ID
from muster.serve.ddi.answers import HAL
from muster.serve.ddi.bodies import ConfigData, Feedback, Offline
from muster.serve.operations import Answer, Operation

ROOT: Final = "/{tenant}/controller/v1/{controller_id}"
_DEPLOYMENT: Final = "/deploymentBase/{action_id}"
_CANCEL: Final = "/cancelAction/{action_id}"
_MODULE: Final = "/softwaremodules/{module_id}/artifacts"

ALWAYS: Final = (400, 401, 404, 429)
WITH_BODY: Final = (413, 415)
"""What every call may be answered with, and every call with a body."""

_Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
_PATH: Final[Mapping[str, Any]] = {
    "tenant": Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")],
    "controller_id": DeviceId,
    "action_id": _Id,
    "module_id": _Id,
    "filename": Annotated[str, StringConstraints(min_length=1, max_length=512)],
}


class HawkbitError(BaseModel):
    """An error in hawkBit's shape."""

    exceptionClass: str  # noqa: N815 - hawkBit's name
    errorCode: str  # noqa: N815 - hawkBit's name
    message: str


@dataclass(frozen=True)
class Call:
    """One call: `handler` is the name of the method of `routes.DdiRoutes` that answers it, `statuses` are those that
    not every call is answered with.
    """

    method: str
    path: str
    handler: str
    answer: str
    statuses: tuple[int, ...]
    body: Any = None
    media_type: str = ""


_JSON: Final = (200, 304, 406)

CALLS: Final = (
    Call("GET", "", "poll", "pause until the next poll, and links to what there is to do", _JSON, None, HAL),
    Call("PUT", "/configData", "config_data", "takes attributes, the second signal among them", (200, 403), ConfigData),
    Call("GET", _DEPLOYMENT, "deployment", "what to install: one chunk, one file", _JSON, None, HAL),
    Call("POST", f"{_DEPLOYMENT}/feedback", "feedback", "takes progress and result", (200, 410), Feedback),
    Call("GET", _CANCEL, "cancel", "which action to give up", _JSON, None, HAL),
    Call("POST", f"{_CANCEL}/feedback", "cancel_feedback", "takes the answer to that", (200, 405), Feedback),
    Call("GET", "/installedBase/{action_id}", "installed", "what was installed, as a deployment", _JSON, None, HAL),
    Call("PUT", "/installedBase", "installed_offline", "takes `{name, version}` of a model", (200, 201, 409), Offline),
    Call("GET", _MODULE, "files", "the files of an action", _JSON, None, HAL),
    Call(
        "GET",
        _MODULE + "/{filename}",
        "download",
        "the package, or ranges of it",
        (200, 206, 304, 412, 416),
        media_type="*/*",
    ),
)


def operation(call: Call) -> Operation:
    """What the OpenAPI document says of a call."""
    return Operation(
        summary=f"hawkBit's DDI: {call.answer}",
        caller="updateClient",
        body=call.body,
        answers=dict(_answers(call)),
        path={name: kind for name, kind in _PATH.items() if f"{{{name}}}" in ROOT + call.path},
    )


def table() -> str:
    """The calls as a Markdown table."""
    rows = "".join(
        f"| `{call.method} B{call.path.replace('{', '').replace('}', '')}` | {call.answer} | "
        f"{' '.join(map(str, call.statuses))} |\n"
        for call in CALLS
    )
    return (
        f"| call | answer | status |\n|---|---|---|\n{rows}\n"
        f"And to every call {_listed(ALWAYS)}; to those with a body {_listed(WITH_BODY)}.\n"
    )


def _answers(call: Call) -> Iterator[tuple[int, Answer]]:
    for status in (*call.statuses, *ALWAYS, *(WITH_BODY if call.body else ())):
        says = HTTPStatus(status).phrase
        if status in (200, 201, 206):
            yield status, Answer(call.answer, None, call.media_type)
        elif status in (304, 401):
            yield status, Answer(says, None, "")
        else:
            headers = {"Retry-After": "Seconds after which to ask again."} if status == 429 else {}
            yield status, Answer(says, HawkbitError, headers=headers)


def _listed(statuses: tuple[int, ...]) -> str:
    return " ".join(map(str, statuses))

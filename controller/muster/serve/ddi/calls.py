"""The calls of the DDI API, as one table: routes and docs/hawkbit.md are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROOT: Final = "/{tenant}/controller/v1/{controller_id}"
_DEPLOYMENT: Final = "/deploymentBase/{action_id}"
_CANCEL: Final = "/cancelAction/{action_id}"
_MODULE: Final = "/softwaremodules/{module_id}/artifacts"


@dataclass(frozen=True)
class Call:
    """One call: `handler` is the name of the method of `routes.DdiRoutes` that answers it."""

    method: str
    path: str
    handler: str
    answer: str
    statuses: str


CALLS: Final = (
    Call("GET", "", "poll", "pause until the next poll, and links to what there is to do", "200 304 400 401 404 429"),
    Call("PUT", "/configData", "config_data", "takes attributes, the second signal among them", "200 400 404 429"),
    Call("GET", _DEPLOYMENT, "deployment", "what to install: one chunk, one file", "200 304 404"),
    Call("POST", f"{_DEPLOYMENT}/feedback", "feedback", "takes progress and result", "200 400 404 410 429"),
    Call("GET", _CANCEL, "cancel", "which action to give up", "200 304 404"),
    Call("POST", f"{_CANCEL}/feedback", "cancel_feedback", "takes the answer to that", "200 400 404 405"),
    Call("GET", "/installedBase/{action_id}", "installed", "what was installed, as a deployment", "200 304 404"),
    Call("PUT", "/installedBase", "installed_offline", "takes `{name, version}` of a model", "200 201 400 404 409"),
    Call("GET", _MODULE, "files", "the files of an action", "200 304 404"),
    Call("GET", _MODULE + "/{filename}", "download", "the package, or ranges of it", "200 206 404 412 416"),
)


def table() -> str:
    """The calls as a Markdown table."""
    rows = "".join(
        f"| `{call.method} B{call.path.replace('{', '').replace('}', '')}` | {call.answer} | {call.statuses} |\n"
        for call in CALLS
    )
    return f"| call | answer | status |\n|---|---|---|\n{rows}"

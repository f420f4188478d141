"""What DDI clients send, and what they are sent. Unknown members are ignored: clients send some from older versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from muster.kinds.ddi_feedback import Execution, Finished
from muster.kinds.digest import Name, Version
from muster.plan.ddi import Action

MOST_DETAILS = 50
MOST_ENTRIES = 1_000
"""hawkBit's quotas: texts in one feedback, and feedbacks of one action."""


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Result(_Sent):
    """Progress is of no use here, and ignored."""

    finished: Finished


class Status(_Sent):
    """What happened."""

    execution: Execution
    result: Result
    details: Annotated[list[str], Field(max_length=1_000)] | str | None = None

    @property
    def texts(self) -> list[str]:
        """Details as texts."""
        return [self.details] if isinstance(self.details, str) else list(self.details or ())


class Feedback(_Sent):
    """The clock of the device counts for nothing: the time of a feedback is when it was taken."""

    status: Status


class ConfigData(_Sent):
    """Attributes. An empty value is kept; null takes the key away."""

    mode: Literal["merge", "replace", "remove"] = "merge"
    data: dict[str, str | int | float | bool | None]

    def applied(self, before: Mapping[str, str]) -> dict[str, str]:
        """The attributes as they stand afterwards."""
        kept = {} if self.mode == "replace" else {key: value for key, value in before.items() if key not in self.data}
        if self.mode == "remove":
            return kept
        return kept | {key: _text(value) for key, value in self.data.items() if value is not None}


class Offline(_Sent):
    """What a client has already: the model, and the version of it."""

    name: Name
    version: Version


def poll_body(pause: timedelta, links: Mapping[str, str]) -> dict[str, Any]:
    """The base poll's answer."""
    seconds = int(pause.total_seconds())
    sleep = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return {"config": {"polling": {"sleep": sleep}}, "_links": {rel: {"href": href} for rel, href in links.items()}}


def deployment_body(
    base: str, action: Action, file: Mapping[str, Any], history: tuple[int, Sequence[str]]
) -> dict[str, Any]:
    """What to install: one chunk with one file. `history` is how much of it the client asked for, and what there is."""
    chunk = {
        "part": "bApp",
        "name": action.model,
        "version": file["version"],
        "artifacts": [file_body(base, action.action_id, file)],
        "metadata": [
            {"key": "muster.release", "value": action.release},
            {"key": "muster.artifact", "value": action.artifact},
            {"key": "muster.generation", "value": str(action.generation)},
        ],
    }
    body: dict[str, Any] = {
        "id": str(action.action_id),
        "deployment": {"download": "forced", "update": "forced", "chunks": [chunk]},
    }
    wanted, messages = history
    if wanted:
        most = len(messages) if wanted < 0 else wanted
        body["actionHistory"] = {"status": action.state.upper(), "messages": list(messages)[:most]}
    return body


def file_body(base: str, module_id: int, file: Mapping[str, Any]) -> dict[str, Any]:
    """One file. Both kinds of links where HTTP is plain: a client without TLS only reads those that end in `-http`."""
    href = f"{base}/softwaremodules/{module_id}/artifacts/{file['filename']}"
    links = {"download": {"href": href}, "md5sum": {"href": f"{href}.MD5SUM"}}
    if base.startswith("http:"):
        links |= {"download-http": links["download"], "md5sum-http": links["md5sum"]}
    return {
        "filename": file["filename"],
        "hashes": {name: file[name] for name in ("sha1", "md5", "sha256")},
        "size": file["size"],
        "_links": links,
    }


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

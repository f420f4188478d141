"""The alert: what people are told, as one value. Texts and whole numbers only, so that the ledger can hold it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from muster.kinds.alert_reason import AlertReason, AlertSeverity
from muster.kinds.resource import AsTuple, Declared

LONGEST_TEXT = 2_000
MOST_MEASURED = 50

Short = Annotated[str, StringConstraints(max_length=400)]
Line = Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]


class Measured(Declared):
    """One guardrail in one stratum: what was measured, against which bound, over how many devices."""

    guardrail: Short
    device_class: Short
    stratum: Short = ""
    """Labels beyond the device class, such as `os=14`."""
    measured: Short
    bound: Short
    devices: Annotated[int, Field(ge=0)]
    outcome: Short


class Responsible(Declared):
    """Who answers for what is wrong, and where to read on. `component` is a box of the diagrams, if one is known."""

    owner: Short
    component: Short | None = None
    playbook: Short | None = None


class Alert(Declared):
    """One thing to tell, under a key: the same key is never told twice on purpose, and may arrive twice by accident.

    `subject` is what it is about: a release, or a condition. `cohorts` are the shares that git declared, by cohort.
    """

    key: Annotated[str, StringConstraints(pattern=r"^[!-~]{1,300}$")]
    reason: AlertReason
    severity: AlertSeverity
    state: Literal["firing", "resolved"] = "firing"
    at: str
    subject: Short
    summary: Line
    action: Line
    """What Muster did, or will do by itself."""
    commit: Short | None = None
    generation: int
    release: Short | None = None
    artifact: Short | None = None
    cohorts: dict[str, str] = Field(default_factory=dict)
    measured: Annotated[tuple[Measured, ...], AsTuple, Field(max_length=MOST_MEASURED)] = ()
    responsible: Responsible | None = None

    def body(self) -> dict[str, Any]:
        """As JSON holds it, in camelCase."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def of_body(cls, body: Any) -> Alert:
        """Back from JSON. Raises `pydantic.ValidationError` if it is none."""
        return cls.model_validate_json(json.dumps(body))

    @property
    def moment(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self.at)


def cut(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text that fits: its beginning, and a sign that there was more."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"

"""What a controller answers about its field, and how somebody else's answer is read: one shape for both ends."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, ValidationError

from muster.kinds.digest import Digest, Name, ReleaseName
from muster.kinds.errors import Unusable
from muster.kinds.field_state import FieldState, GuardrailFact, Step
from muster.kinds.resource import AsTuple, Declared, Text

_MOST = 200_000
"""Entries of one list. A fleet of this size would not load."""


def _time(value: Any) -> Any:
    # Inside of a list strictness knows no JSON any more, in which a time is a text.
    return datetime.fromisoformat(value) if isinstance(value, str) else value


_Time = Annotated[AwareDatetime, BeforeValidator(_time)]


class _Devices(Declared):
    device_class: Name
    cohort: Name
    count: Annotated[int, Field(ge=0, le=10**12)]


class _Guardrail(Declared):
    release: ReleaseName
    device_class: Name
    guardrail: Name
    outcome: Literal["harm", "no-worse", "undecided", "cannot-tell"]
    reason: Text


class _Step(Declared):
    release: ReleaseName
    cohort: Name
    ppm: Annotated[int, Field(ge=0, le=1_000_000)]
    since: _Time


class FieldAnswer(Declared):
    """The answer to GET /v1/field. `at` is when the loop last finished its work."""

    at: _Time
    devices: Annotated[tuple[_Devices, ...], AsTuple, Field(max_length=_MOST)]
    guardrails: Annotated[tuple[_Guardrail, ...], AsTuple, Field(max_length=_MOST)]
    steps: Annotated[tuple[_Step, ...], AsTuple, Field(max_length=_MOST)]
    stored: Annotated[tuple[Digest, ...], AsTuple, Field(max_length=_MOST)]
    suspended: Annotated[tuple[ReleaseName, ...], AsTuple, Field(max_length=_MOST)]

    @classmethod
    def of(cls, state: FieldState) -> FieldAnswer:
        """The answer that says this."""
        return cls(
            at=state.at,
            devices=tuple(
                _Devices(device_class=device_class, cohort=cohort, count=count)
                for (device_class, cohort), count in sorted(state.devices.items())
            ),
            guardrails=tuple(
                _Guardrail(
                    release=release,
                    device_class=fact.device_class,
                    guardrail=fact.guardrail,
                    outcome=fact.outcome,
                    reason=fact.reason[:2_000],
                )
                for release, facts in sorted(state.guardrails.items())
                for fact in facts
            ),
            steps=tuple(
                _Step(release=release, cohort=cohort, ppm=step.ppm, since=step.since)
                for (release, cohort), step in sorted(state.steps.items())
            ),
            stored=tuple(sorted(state.stored)),
            suspended=tuple(sorted(state.suspended)),
        )

    def state(self) -> FieldState:
        """What it says."""
        guardrails: dict[str, tuple[GuardrailFact, ...]] = {}
        for said in self.guardrails:
            fact = GuardrailFact(said.device_class, said.guardrail, said.outcome, said.reason)
            guardrails[said.release] = (*guardrails.get(said.release, ()), fact)
        return FieldState(
            at=self.at,
            devices={(said.device_class, said.cohort): said.count for said in self.devices},
            guardrails=guardrails,
            steps={(said.release, said.cohort): Step(said.ppm, said.since) for said in self.steps},
            stored=frozenset(self.stored),
            suspended=frozenset(self.suspended),
        )


def read_field_answer(body: bytes) -> FieldState:
    """What an answer says. Raises `Unusable` for anything but such an answer."""
    try:
        return FieldAnswer.model_validate_json(body).state()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"][:4] if isinstance(part, int) or part.isidentifier())
        raise Unusable(
            f"the answer about the field cannot be read: {place or 'answer'}: {first['type']}",
            "is this address a controller's, and of this version?",
        ) from error

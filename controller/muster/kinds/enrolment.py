"""How devices of a class are let in, and whose labels are whose.

| mode             | who is let in                                                                      |
|------------------|------------------------------------------------------------------------------------|
| `pre-registered` | a device that an operator registered before it came                               |
| `token`          | every device that shows the token of its class                                    |
| `manual`         | with the token, a device whose labels fit the rule; others wait until one accepts  |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from muster.kinds.cohort import Selector
from muster.kinds.quantity import Duration
from muster.kinds.resource import Declared

Mode = Literal["pre-registered", "token", "manual"]

DEVICE: Final = "device/"
"""Labels under this prefix are facts that a device says of itself: nobody else sets them."""
FLEET: Final = "fleet/"
"""Labels under this prefix are set by people: no device can claim one."""

MOST_WAITING: Final = 10_000
"""Devices of one class that wait to be accepted; a class may declare less with its quota."""


class EnrolmentSpec(Declared):
    """Who may enrol as a device of this class.

    `rule`: in mode `manual`, labels with which a device needs nobody to accept it. `quota`: devices of the class at
    most, those that wait included. `tokenGeneration`: raise it, and every token of the class that was given out ends.
    `secretLifetime`: a device whose secret is older is asked to take another one.
    """

    mode: Mode = "token"
    rule: Selector | None = None
    quota: Annotated[int, Field(ge=1, le=10**9)] | None = None
    token_generation: Annotated[int, Field(ge=1, le=10**6)] = 1
    secret_lifetime: Duration | None = None

    @model_validator(mode="after")
    def _rule_fits(self) -> Self:
        if self.rule is not None and self.mode != "manual":
            raise ValueError("a rule accepts in place of a person: it needs mode: manual")
        if self.rule is not None and not self.rule.match_labels:
            raise ValueError("a rule without labels would accept every device: that is mode: token")
        return self

    def accepts(self, labels: Mapping[str, str]) -> bool:
        """True if a device with the token and these labels needs nobody to accept it."""
        return self.mode == "token" or (self.rule is not None and self.rule.matches(labels))


def claimed(labels: Iterable[str]) -> tuple[str, ...]:
    """Keys that no device may say of itself."""
    return tuple(sorted(key for key in labels if key.startswith(FLEET)))


def not_ours(labels: Iterable[str]) -> tuple[str, ...]:
    """Keys that nobody but the device may set."""
    return tuple(sorted(key for key in labels if key.startswith(DEVICE)))


def effective(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The labels that count: what people set wins over what the device says of itself."""
    return {**own, **given}

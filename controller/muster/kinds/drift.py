"""Drift: a device that runs what git never declared for it, and what is done about that in its class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from muster.kinds.digest import Digest, ExactVersion
from muster.kinds.resource import AsTuple, Declared, Text

DriftAction = Literal["Correct", "Warn", "Ignore"]
"""`Correct`: the device takes what is declared. `Warn`: it keeps what it runs, and everybody is told. `Ignore`: it
keeps what it runs, and nobody is told."""

DriftField = Literal["artifact", "configVersion", "runtimeVersion"]
"""What can differ, as devices report it: model_hash, config_version, runtime_version."""

MOST_RULES = 64
MOST_KNOWN = 1_024
"""Of releases that one document names as known: the newest."""

Value = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]{0,127}$")]


class DriftRule(Declared):
    """What is done where this field differs; with `values`, only where the device has one of these.

    A device cannot change its runtime, so that nothing corrects `runtimeVersion`.
    """

    field: DriftField
    action: DriftAction
    values: Annotated[tuple[Value, ...], AsTuple, Field(max_length=256)] = ()
    why: Text

    @model_validator(mode="after")
    def _only_what_can_be_corrected(self) -> DriftRule:
        if self.field == "runtimeVersion" and self.action == "Correct":
            raise ValueError("a runtime comes with the operating system, and is not corrected; write Warn or Ignore")
        return self


class Known(Declared):
    """What a device reports that runs a release as it was declared for the device's class."""

    model_hash: Digest
    config_version: Digest
    runtime_version: ExactVersion | None = None
    """None: any, where a former version of Muster did not keep it."""


class DriftRules(Declared):
    """The rules of one class, and what is no drift there: they travel to devices, which judge by the same.

    `rules` are tried in order; the first that fits decides, and `action` where none does.
    """

    action: DriftAction
    rules: Annotated[tuple[DriftRule, ...], AsTuple, Field(max_length=MOST_RULES)] = ()
    known: Annotated[tuple[Known, ...], AsTuple, Field(max_length=MOST_KNOWN)] = ()

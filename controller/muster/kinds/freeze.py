"""Freeze: a time in which nothing (or only then something) may move forward. Rollbacks always may."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from muster.kinds.digest import Name
from muster.kinds.owners import Login
from muster.kinds.quantity import Duration
from muster.kinds.resource import AsTuple, Declared, Resource, Text

CronText = Annotated[str, StringConstraints(pattern=r"^\S{1,64}( \S{1,64}){4}$")]
RRuleText = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9=;,:+-]{1,500}$")]
TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,32}){0,2}$")]
LocalTime = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$")]


class FreezeSpec(Declared):
    """`deny`: nothing moves forward inside the window. `allow`: nothing moves forward outside of it. Deny beats allow.

    Windows begin by `cron` (minute hour day month weekday) or by `rrule` (RFC 5545) counted from `start`, both read on
    the clocks of `timeZone`, and last `duration`. Without `models` or `cohorts`, all are meant. `overrideOwners` may
    let one change through, by an approval that is recorded.
    """

    effect: Literal["deny", "allow"]
    cron: CronText | None = None
    rrule: RRuleText | None = None
    start: LocalTime | None = None
    time_zone: TimeZone = "UTC"
    duration: Duration
    models: Annotated[tuple[Name, ...], AsTuple, Field(max_length=64)] = ()
    cohorts: Annotated[tuple[Name, ...], AsTuple, Field(max_length=64)] = ()
    override_owners: Annotated[tuple[Login, ...], AsTuple, Field(max_length=16)] = ()
    reason: Text


class Freeze(Resource):
    """policies/freezes/<name>.yaml"""

    kind: Literal["Freeze"] = "Freeze"
    spec: FreezeSpec

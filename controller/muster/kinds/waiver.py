"""Waiver: an owned, expiring exception to one gate for one release. The verdict that it hides is still recorded."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from muster.kinds.digest import Name, ReleaseName
from muster.kinds.owners import Login
from muster.kinds.resource import Declared, Resource, Text

Date = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
"""A day in UTC; the waiver holds until its end."""

LONGEST_DAYS: Final = 30


class WaiverSpec(Declared):
    """From `granted` to `expires`, at most 30 days."""

    gate: Name
    release: ReleaseName
    owner: Login
    reason: Text
    granted: Date
    expires: Date


class Waiver(Resource):
    """policies/waivers/<name>.yaml"""

    kind: Literal["Waiver"] = "Waiver"
    spec: WaiverSpec

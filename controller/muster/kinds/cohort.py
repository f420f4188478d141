"""Cohort: a named, ordered part of the fleet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from muster.kinds.resource import Declared, Labels, Resource

MOST_COHORTS = 64
MOST_ENTRIES = 256
"""Bounds of one desired document, which devices of any size must be able to read: its cohorts, and its releases."""


class Selector(Declared):
    """Which devices belong: all labels must match. An empty selector matches every device."""

    match_labels: Labels = Field(default_factory=dict)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True if every label asked for is present with that value."""
        return all(labels.get(key) == value for key, value in self.match_labels.items())


class CohortSpec(Declared):
    """Order and membership. Percentages stand in the release, because each release has its own."""

    order: Annotated[int, Field(ge=0, le=1_000)]
    selector: Selector = Selector()


class Cohort(Resource):
    """devices/cohorts/<name>.yaml"""

    kind: Literal["Cohort"] = "Cohort"
    spec: CohortSpec

"""How many devices each cohort has, per device class.

One pass over an index that holds class and labels of every device and nothing else; the storage says which cohort a
device is in, and only the sums come back. O(devices) all the same: who asks often keeps the answer for a while.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, and_, case, func, select, true

from muster.kinds.desired import OrderedCohort
from muster.observe.storage import devices


def cohort_counts(connection: Connection, cohorts: Mapping[str, Sequence[OrderedCohort]]) -> dict[tuple[str, str], int]:
    """(device class, cohort) → devices, by the cohorts (in order) of each class. Devices in no cohort are left out."""
    counts: dict[tuple[str, str], int] = {}
    for classes, ordered in _alike(cohorts):
        cohort = case(*((_matches(one), one.name) for one in ordered), else_=None).label("cohort")
        rows = connection.execute(
            select(devices.c.device_class, cohort, func.count())
            .where(devices.c.device_class.in_(classes))
            .group_by(devices.c.device_class, "cohort")
        )
        counts.update({(row[0], row[1]): row[2] for row in rows if row[1] is not None})
    return counts


def _alike(cohorts: Mapping[str, Sequence[OrderedCohort]]) -> list[tuple[list[str], Sequence[OrderedCohort]]]:
    """Classes with the same cohorts together: as a rule, all of them."""
    found: list[tuple[list[str], Sequence[OrderedCohort]]] = []
    for device_class, ordered in sorted(cohorts.items()):
        same = next((classes for classes, other in found if other == ordered), None)
        if same is not None:
            same.append(device_class)
        elif ordered:
            found.append(([device_class], ordered))
    return found


def _matches(cohort: OrderedCohort) -> ColumnElement[bool]:
    return and_(
        true(),
        *(devices.c.labels[key].as_string() == value for key, value in sorted(cohort.selector.match_labels.items())),
    )

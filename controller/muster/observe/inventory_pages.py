"""Pages of the inventory, in the order of device ids: read from where the last page ended, never from the start.

A label is looked up in an index that holds the ids in order, so a page costs what it shows, however many devices the
fleet has. With several labels, the first finds and the others sift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, and_, exists, select

from muster.observe.storage import device_labels, devices


@dataclass(frozen=True)
class Wanted:
    """Which devices: of a class, with all these labels, after an id; `limit` None: all of them."""

    device_class: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    after: str = ""
    limit: int | None = None


def page_of_devices(wanted: Wanted) -> Select[Any]:
    """The rows of `devices` on this page."""
    query = select(devices)
    ids = devices.c.device_id
    pairs = sorted(wanted.labels.items())
    if pairs:
        ids = device_labels.c.device_id
        query = select(devices).select_from(
            device_labels.join(devices, devices.c.device_id == device_labels.c.device_id)
        )
        query = query.where(device_labels.c.key == pairs[0][0], device_labels.c.value == pairs[0][1])
    for key, value in pairs[1:]:
        also = device_labels.alias()
        query = query.where(exists().where(and_(also.c.key == key, also.c.value == value, also.c.device_id == ids)))
    if wanted.device_class is not None:
        query = query.where(devices.c.device_class == wanted.device_class)
    query = query.where(ids > wanted.after).order_by(ids)
    return query if wanted.limit is None else query.limit(wanted.limit)

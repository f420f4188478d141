"""Tables about DDI clients. A client has a row once it called, and an action once it asked for its details."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Integer, PrimaryKeyConstraint, String, Table

from muster.observe.storage import metadata

ddi_clients = Table(
    "ddi_clients",
    metadata,
    Column("device_id", String, primary_key=True),
    # What it says of itself; until it names its class there, it is in no inventory.
    Column("attributes", JSON, nullable=False),
    Column("wanted", Boolean, nullable=False),
    Column("asks", Integer, nullable=False),
    Column("asked_at", String, nullable=False),
    Column("polled_at", String, nullable=False),
)

ddi_actions = Table(
    "ddi_actions",
    metadata,
    Column("device_id", String, nullable=False),
    Column("action_id", Integer, nullable=False),
    Column("model", String, nullable=False),
    Column("release", String, nullable=False),
    Column("artifact", String, nullable=False),
    Column("since", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("phase", String, nullable=False),
    Column("touched", String, nullable=False),
    Column("begun", Boolean, nullable=False),
    Column("entries", Integer, nullable=False),
    # What the client said last, newest first.
    Column("messages", JSON, nullable=False),
    PrimaryKeyConstraint("device_id", "action_id"),
)

"""Tables of the controller, on SQLAlchemy Core: SQLite by default.

SQLite runs in write-ahead mode with `synchronous=FULL`: a report is acknowledged when it would survive a power cut.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    create_engine,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateColumn

from muster.kinds.errors import Refused, TryAgain
from muster.kinds.phases import TIME_LIMITS
from muster.observe.turns import Turns

metadata = MetaData()

_WRITES = "muster_writes"
_TURNS = "muster_turns"
_PATIENCE = 30
"""Seconds that a transaction waits for its turn, and again for other processes."""

devices = Table(
    "devices",
    metadata,
    Column("device_id", String, primary_key=True),
    Column("device_class", String, nullable=False, index=True),
    Column("labels", JSON, nullable=False),
    Column("models", JSON, nullable=False),
    Column("secret_hash", String, nullable=False),
    Column("enrolled_at", String, nullable=False),
    Column("last_seen", String),
    Column("last_sequence", Integer, nullable=False, default=0),
    # The device's own habit: its usual pause between requests, and when silence beyond it means something.
    Column("habit_ms", Integer, nullable=False, default=0),
    Column("dark_after", String),
    # What the device says of itself, and what people set; `labels` are those that count. Null: an older row, all own.
    Column("own_labels", JSON(none_as_null=True)),
    Column("set_labels", JSON(none_as_null=True)),
    # A new secret that the device announced. The first request with it ends the one before.
    Column("next_secret_hash", String),
    Column("secret_at", String),
    # Who is silent is found without a look at those who are not.
    Index("devices_by_silence", "dark_after"),
    # Counting the devices of cohorts reads nothing but this.
    Index("devices_by_labels", "device_class", "labels"),
    # Pages of one class.
    Index("devices_by_class", "device_class", "device_id"),
)

# Labels that count, one row each: pages of the devices that have one are read by walking this.
device_labels = Table(
    "device_labels",
    metadata,
    Column("key", String, nullable=False),
    Column("value", String, nullable=False),
    Column("device_id", String, nullable=False),
    PrimaryKeyConstraint("key", "value", "device_id"),
    Index("device_labels_by_device", "device_id"),
    sqlite_with_rowid=False,
)

# Ids that are not devices: expected (registered before it came), waiting (to be accepted), revoked.
enrolments = Table(
    "enrolments",
    metadata,
    Column("device_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("device_class", String, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("set_labels", JSON, nullable=False),
    Column("models", JSON, nullable=False),
    Column("secret_hash", String),
    Column("at", String, nullable=False),
    Column("by", String),
    Column("why", String),
    Index("enrolments_by_class", "device_class", "state", "device_id"),
    Index("enrolments_by_state", "state", "device_id"),
)

# What a device runs of a model, from its newest report.
running = Table(
    "running",
    metadata,
    Column("device_id", String, nullable=False),
    Column("model", String, nullable=False),
    Column("device_class", String, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("release", String),
    Column("phase", String),
    Column("error_code", String),
    Column("model_hash", String),
    Column("config_version", String),
    Column("runtime_version", String),
    Column("delegate_active", String),
    Column("load_time_ms", Float),
    Column("p50_ms", Float),
    Column("p95_ms", Float),
    Column("peak_ram_mb", Float),
    Column("dropped_frames", Integer),
    Column("thermal_state", String),
    Column("inferences", Integer),
    Column("confident_ppm", Integer),
    Column("downloads", Integer),
    Column("os_version", String),
    Column("crashes", Integer),
    Column("fallback_ppm", Integer),
    Column("confidence_histogram", JSON),
    Column("accepted", Integer),
    Column("corrected", Integer),
    Column("values", JSON),
    Column("reported_at", String, nullable=False),
    PrimaryKeyConstraint("device_id", "model"),
    # What there is to run, is found by walking this: see `observe.drift`.
    Index("running_by_what", "device_class", "model", "model_hash", "config_version", "runtime_version", "device_id"),
)

IN_UPDATE = ", ".join(f"'{phase}'" for phase in TIME_LIMITS)

# How far a device came with a release: one row for each release that it ever tried.
outcomes = Table(
    "outcomes",
    metadata,
    Column("device_id", String, nullable=False),
    Column("release", String, nullable=False),
    Column("device_class", String, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("phase", String, nullable=False),
    Column("error_code", String),
    Column("first_at", String, nullable=False),
    Column("changed_at", String, nullable=False),
    # What it is counted by (plan/tallies): when it came to the release and into its phase, whether another release of
    # the model runs by now, and what it showed.
    Column("entered", Integer, nullable=False, server_default="0"),
    Column("phase_since", String, nullable=False, server_default=""),
    Column("left", Boolean, nullable=False, server_default="0"),
    Column("stratum", String, nullable=False, server_default=""),
    Column("os_version", String),
    Column("runtime_version", String),
    Column("measures", JSON, nullable=False, server_default="{}"),
    # Releases that the device could come to while it was on this one, or that it came to: see plan/draws.
    Column("draws", JSON, nullable=False, server_default="{}"),
    PrimaryKeyConstraint("device_id", "release"),
    Index("outcomes_by_release", "release", "device_class", "phase", "error_code"),
    Index("outcomes_in_update", "phase", "phase_since", sqlite_where=text(f"phase IN ({IN_UPDATE})")),
)

# How many devices stand where (plan/tallies.Cell): kept in the transaction of each report, and equal to a recount.
tallies = Table(
    "tallies",
    metadata,
    Column("release", String, nullable=False),
    Column("device_class", String, nullable=False),
    Column("stratum", String, nullable=False),
    Column("entered", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("left", Boolean, nullable=False),
    Column("what", String, nullable=False),
    Column("bucket", String, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("release", "device_class", "stratum", "entered", "generation", "left", "what", "bucket"),
    sqlite_with_rowid=False,
)

suspensions = Table(
    "suspensions",
    metadata,
    Column("release", String, primary_key=True),
    Column("reason", String, nullable=False),
    Column("at", String, nullable=False),
    Column("by", String, nullable=False),
    Column("revert", String),
)

# Suspensions by hand that end by themselves. `since`: device class → generation at which the release came on offer.
timed_suspensions = Table(
    "timed_suspensions",
    metadata,
    Column("release", String, primary_key=True),
    Column("reason", String, nullable=False),
    Column("at", String, nullable=False),
    Column("by", String, nullable=False),
    Column("until", String, nullable=False),
    Column("since", JSON, nullable=False),
)

# Releases that came out of a suspension, and the generation that was published then.
resumptions = Table(
    "resumptions",
    metadata,
    Column("release", String, primary_key=True),
    Column("at", String, nullable=False),
    Column("generation", Integer, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("event", String, nullable=False, index=True),
    Column("key", String, nullable=False, unique=True),
    Column("body", JSON, nullable=False),
    Column("previous", String, nullable=False),
    Column("digest", String, nullable=False),
)

# What people are told, once under each key; `subject` and `closed_at` are of conditions, which begin and end.
alerts = Table(
    "alerts",
    metadata,
    # What is told of in one tick has one time; this is its order.
    Column("sequence", Integer, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("reason", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("at", String, nullable=False, index=True),
    Column("closed_at", String),
    Column("body", JSON, nullable=False),
    Index("alerts_by_subject", "subject", "sequence"),
)

# Which alert goes to which channel, and how far that came: waiting, delivered, dead.
deliveries = Table(
    "deliveries",
    metadata,
    Column("key", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("since", String, nullable=False),
    Column("next_at", String, nullable=False),
    Column("last_error", String),
    PrimaryKeyConstraint("key", "channel"),
    Index("deliveries_by_state", "state", "next_at"),
)

# Samples that devices sent (serve/capture): what is known of them, and, apart from that, who sent them. Their contents
# are files. Joined by a random id alone.
captures = Table(
    "captures",
    metadata,
    Column("id", String, primary_key=True),
    Column("purpose", String, nullable=False),
    Column("model", String, nullable=False),
    Column("record", JSON, nullable=False),
    Column("digest", String, nullable=False, index=True),
    Column("size", Integer, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("expires_at", String, nullable=False, index=True),
    Index("captures_by_model", "model", "purpose", "id"),
)
capture_senders = Table(
    "capture_senders",
    metadata,
    Column("id", String, primary_key=True),
    Column("device_id", String, nullable=False, index=True),
)

# What the loop last said of itself, for `serve` and the command line; one row a subject.
status = Table(
    "status",
    metadata,
    Column("subject", String, primary_key=True),
    Column("body", JSON, nullable=False),
    Column("at", String, nullable=False),
)


def open_storage(state: Path) -> Engine:
    """Open the database of a state folder, making its tables if they are missing.

    It holds the inventory and hashes of secrets, so that it is for its owner alone: a folder that the group could
    write is closed to it. Raises `Refused` if everybody could replace it.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = state.stat().st_mode
    if mode & stat.S_IWOTH:
        raise Refused(f"others can write into {state}", f"chmod go-w {state}")
    if mode & stat.S_IWGRP:
        state.chmod(stat.S_IMODE(mode) & ~stat.S_IWGRP)
    database = state / "muster.db"
    database.touch(mode=0o600)
    # Tables that stand in modules of their own.
    import muster.observe.ddi_storage  # noqa: F401

    engine = create_engine(
        f"sqlite:///{database}", connect_args={"timeout": _PATIENCE}, execution_options={_TURNS: Turns()}
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    with writing(engine) as connection:
        metadata.create_all(connection)
        grown = _add_columns(connection)
        for table in metadata.sorted_tables:
            for index in table.indexes:
                index.create(connection, checkfirst=True)
        fill_labels(connection)
        if grown:
            # What older rows count for is worked out once. Imported here: tallies are kept in these tables.
            from muster.observe.tallies import recount

            recount(connection)
    return engine


def fill_labels(connection: Connection) -> None:
    """Give an older database the rows of `device_labels`; its devices had labels before there were any."""
    if connection.execute(select(device_labels.c.device_id).limit(1)).first() is None:
        connection.exec_driver_sql(
            "INSERT INTO device_labels (key, value, device_id) "
            "SELECT each.key, each.value, devices.device_id FROM devices, json_each(devices.labels) AS each"
        )


def _add_columns(connection: Connection) -> bool:
    """Give an older database the columns that it lacks; all of them may be empty. True if outcomes got any."""
    grown = False
    known = inspect(connection)
    for table in metadata.sorted_tables:
        names = {column["name"] for column in known.get_columns(table.name)}
        for column in table.columns:
            if column.name not in names:
                compiled = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {compiled}")
                grown |= table is outcomes
    return grown


def iso(at: datetime) -> str:
    """A time in UTC as text that sorts like the time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: committed at the end, undone if anything is raised.

    It takes the write lock when it begins. A transaction that began by reading would be refused at its first write
    if another one wrote in between, however long it is willing to wait. Of this process, whoever came first is first.
    """
    turns = engine.get_execution_options().get(_TURNS)
    try:
        with (
            turns.turn(_PATIENCE) if turns else nullcontext(),
            engine.connect().execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection
    except TimeoutError as error:
        raise TryAgain("the storage is busy", "find out what holds it for so long") from error
    except (OperationalError, sqlite3.OperationalError) as error:
        cause = error.orig if isinstance(error, OperationalError) else error
        raise TryAgain(f"the storage refuses: {cause}", "free space, or wait for who holds it") from error


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _configure(connection: Any, _record: Any) -> None:
    # The driver's own transactions are switched off: `_begin` says how each one starts.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()

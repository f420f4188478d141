"""Tallies in the storage: moved with each report, in its transaction, and made anew from the rows when need be.

A report costs O(1): the device leaves at most the cells that it stood in, and comes into as many. Reading them costs
O(cells), plus the devices that are silent at the moment, which are found by an index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    true,
    union,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from muster.kinds.desired import DesiredDocument
from muster.kinds.phases import RUNNING, TIME_LIMITS, WAITS, TimeLimit
from muster.observe.habit import FLOOR, Hearing
from muster.observe.status import read_hearing, read_status, shortest_poll, write_status
from muster.observe.storage import IN_UPDATE, devices, iso, outcomes, tallies, writing
from muster.plan.draws import offers_of
from muster.plan.judging import Judging
from muster.plan.tallies import ENROLLED, PHASE, Cell, Draw, Standing, Tally, after_silence, cells_of

JUDGING = "judging"
_KEY = tuple(Cell._fields)
_BATCH = 5_000
# Made once: a report that changes nothing else costs little more than its own row.
_INSERT = insert(tallies)
_ADD = _INSERT.on_conflict_do_update(index_elements=_KEY, set_={"count": tallies.c.count + _INSERT.excluded.count})
_DROP_EMPTY = delete(tallies).where(
    and_(*(tallies.c[name] == bindparam(f"in_{name}") for name in _KEY), tallies.c.count == 0)
)


def read_judging(connection: Connection) -> Judging:
    """What is declared, as far as counting goes."""
    return Judging.of_json(read_status(connection, JUDGING))


def keep_judging(engine: Engine, judging: Judging, now: datetime) -> bool:
    """Count by this from now on. If it changed, everything is counted anew, once, at O(devices); True if so.

    What is on offer stays as it was said by `keep_offers`.
    """
    with engine.connect() as connection:
        before = read_judging(connection)
    judging = replace(judging, offers=before.offers)
    if before == judging:
        return False
    with writing(engine) as connection:
        return declare_judging(connection, judging, now)


def declare_judging(connection: Connection, judging: Judging, now: datetime) -> bool:
    """The same, within a transaction. Providers say what a later report means; what is counted already stays."""
    before = read_judging(connection)
    write_status(connection, JUDGING, judging.as_json(), now)
    same = (before.labels, before.versions, before.readings) == (judging.labels, judging.versions, judging.readings)
    if not same:
        recount(connection)
    return not same


def keep_offers(connection: Connection, documents: Iterable[DesiredDocument], now: datetime) -> None:
    """Draw devices by these documents. To be said before they are published: the first who reads them may report."""
    judging = read_judging(connection)
    offers = offers_of(documents, judging.offers)
    if offers != judging.offers:
        write_status(connection, JUDGING, replace(judging, offers=offers).as_json(), now)


def standing(row: Mapping[str, Any]) -> Standing:
    """A row of `outcomes`, as it is counted."""
    return Standing(
        release=row["release"],
        device_class=row["device_class"],
        stratum=row["stratum"],
        entered=row["entered"],
        generation=row["generation"],
        left=bool(row["left"]),
        phase=row["phase"],
        error_code=row["error_code"],
        measures=row["measures"] or {},
        draws={release: Draw(*one) for release, one in (row["draws"] or {}).items()},
    )


def move(
    connection: Connection, before: Iterable[Standing], after: Iterable[Standing], readings: Iterable[str]
) -> None:
    """Take what stood `before` out of its cells, and count what stands `after`."""
    asked = tuple(readings)
    change: Counter[Cell] = Counter()
    for old in before:
        change.subtract(cells_of(old, asked))
    for new in after:
        change.update(cells_of(new, asked))
    add(connection, change)


def enrolled(connection: Connection, device_class: str, models: Iterable[str], count: int = 1) -> None:
    """Count a device that was enrolled."""
    add(connection, {_enrolled_cell(model, device_class): count for model in models})


def add(connection: Connection, change: Mapping[Cell, int]) -> None:
    """Change the counts of cells. Cells that nobody stands in are not kept."""
    rows = [{**cell._asdict(), "count": count} for cell, count in change.items() if count]
    if not rows:
        return
    connection.execute(_ADD, rows)
    if gone := [{f"in_{name}": row[name] for name in _KEY} for row in rows if row["count"] < 0]:
        connection.execute(_DROP_EMPTY, gone)


def recount(connection: Connection) -> None:
    """Make the tallies anew from the rows. Strata are worked out anew as well: what is declared may have changed."""
    judging = read_judging(connection)
    connection.execute(delete(tallies))
    change: Counter[Cell] = Counter()
    inventory = select(devices.c.device_class, devices.c.models, func.count()).group_by("device_class", "models")
    for device_class, models, count in connection.execute(inventory):
        for model in models:
            change[_enrolled_cell(model, device_class)] += count
    after: tuple[str, str] = ("", "")
    while rows := _page(connection, after):
        moved = []
        for row in rows:
            versions = row["os_version"], row["runtime_version"]
            # What a device showed before it was revoked was shown; nobody knows its labels any more.
            known = row["labels"] is not None
            stratum = judging.stratum(row["device_class"], row["labels"], *versions) if known else row["stratum"]
            if stratum != row["stratum"]:
                moved.append({"in_device": row["device_id"], "in_release": row["release"], "in_stratum": stratum})
            change.update(cells_of(standing({**row, "stratum": stratum}), judging.readings))
        if moved:
            connection.execute(_restratify, moved)
        after = (rows[-1]["device_id"], rows[-1]["release"])
    add(connection, change)


_restratify = (
    update(outcomes)
    .where(outcomes.c.device_id == bindparam("in_device"), outcomes.c.release == bindparam("in_release"))
    .values(stratum=bindparam("in_stratum"))
)


def _page(connection: Connection, after: tuple[str, str]) -> Sequence[RowMapping]:
    device_id, release = after
    later = and_(outcomes.c.device_id == device_id, outcomes.c.release > release)
    query = (
        select(outcomes, devices.c.labels)
        .outerjoin(devices, devices.c.device_id == outcomes.c.device_id)
        .where(or_(outcomes.c.device_id > device_id, later))
        .order_by(outcomes.c.device_id, outcomes.c.release)
        .limit(_BATCH)
    )
    return connection.execute(query).mappings().all()


def _enrolled_cell(model: str, device_class: str) -> Cell:
    return Cell(model, device_class, "", 0, 0, left=False, what=ENROLLED, bucket="")


def read_tally(connection: Connection, now: datetime | None = None) -> Tally:
    """The counts, as they were reported; with `now`, as of then: who is silent for too long is dark, or failed."""
    rows = connection.execute(select(*(tallies.c[name] for name in _KEY), tallies.c.count))
    tally = {Cell(*row[:5], bool(row[5]), *row[6:8]): row[8] for row in rows}
    hearing = read_hearing(connection) if now is not None else None
    if now is None or hearing is None or not hearing.holds(now, shortest_poll(connection)):
        return tally
    return after_silence(tally, _silent(connection, now, hearing, _limits(read_judging(connection).waits)))


class _Limit(NamedTuple):
    """How long a phase may last for devices of `classes`; without any, for those of all but `others`."""

    phase: str
    limit: TimeLimit
    classes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def holds(self) -> ColumnElement[bool]:
        """The outcomes that it is for."""
        of_class = outcomes.c.device_class
        among = of_class.in_(self.classes) if self.classes else of_class.not_in(self.others) if self.others else true()
        return and_(outcomes.c.phase == self.phase, among)


def _limits(waits: Mapping[str, int]) -> list[_Limit]:
    """The table, and its own limit for each class whose devices wait before they switch."""
    found = [_Limit(phase, limit) for phase, limit in TIME_LIMITS.items() if phase != WAITS]
    found.append(_Limit(WAITS, TIME_LIMITS[WAITS], others=tuple(sorted(waits))))
    for wait in sorted(set(waits.values())):
        classes = tuple(sorted(name for name, its in waits.items() if its == wait))
        found.append(_Limit(WAITS, TIME_LIMITS[WAITS].after(wait), classes))
    return found


def _silent(connection: Connection, now: datetime, hearing: Hearing, limits: Sequence[_Limit]) -> dict[Cell, int]:
    """Devices past their time, by the cell of the phase that they stand in.

    Silence says something of a device only while others are heard, and once it had the whole of its time since the
    last gap. A device that is in mid-update is judged by that alone, and not dark on what it leaves.
    """
    heard = devices.c.habit_ms < hearing.longest_habit_ms(now)
    found = union(_silent_ones(now, heard, limits), *_stuck_ones(now, heard, limits)).subquery()
    columns = [outcomes.c[name] for name in ("release", "device_class", "stratum", "entered", "generation", "phase")]
    query = (
        select(*columns, func.count())
        .join(found, and_(found.c.device_id == outcomes.c.device_id, found.c.release == outcomes.c.release))
        .group_by(*columns)
    )
    return {Cell(*row[:5], left=False, what=PHASE, bucket=row[5]): row[6] for row in connection.execute(query)}


def _silent_ones(now: datetime, heard: ColumnElement[bool], limits: Sequence[_Limit]) -> Select[Any]:
    """By device first, or every outcome would be looked at."""
    silent = select(devices.c.device_id).where(devices.c.dark_after < iso(now), heard)
    updating = outcomes.alias("updating")
    mid_update = (
        select(updating.c.release)
        .where(
            updating.c.device_id == outcomes.c.device_id,
            ~updating.c.left,
            updating.c.phase.in_(list(TIME_LIMITS)),
            _model(updating.c.release) == _model(outcomes.c.release),
        )
        .exists()
    )
    # `dark_after` is the end of the device's own habit and FLOOR; a limit takes FLOOR's place.
    late = [
        and_(
            one.holds,
            devices.c.dark_after < iso(now + FLOOR - timedelta(milliseconds=one.limit.silent)),
        )
        for one in limits
    ]
    dark = and_(outcomes.c.phase.in_(sorted(RUNNING)), ~mid_update)
    return (
        select(outcomes.c.device_id, outcomes.c.release)
        .join(devices, devices.c.device_id == outcomes.c.device_id)
        .where(outcomes.c.device_id.in_(silent), ~outcomes.c.left, or_(dark, *late))
    )


def _stuck_ones(now: datetime, heard: ColumnElement[bool], limits: Sequence[_Limit]) -> list[Select[Any]]:
    """Those that talk, and do not get on. The literal condition is that of the index, which is of these phases only."""
    in_update = text(f"outcomes.phase IN ({IN_UPDATE})")
    return [
        select(outcomes.c.device_id, outcomes.c.release)
        .join(devices, devices.c.device_id == outcomes.c.device_id)
        .where(
            in_update,
            one.holds,
            outcomes.c.phase_since.between("0", iso(now - timedelta(milliseconds=one.limit.longest))),
            ~outcomes.c.left,
            heard,
        )
        for one in limits
    ]


def _model(release: Any) -> Any:
    return func.substr(release, 1, func.instr(release, "/"))

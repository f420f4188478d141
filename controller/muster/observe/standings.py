"""How far a device came with each release: its rows, changed by reports in memory, then written with those of others.

Rows and tallies are written together, or neither.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from muster.kinds.phases import RUNNING, TIME_LIMITS
from muster.kinds.telemetry import Report
from muster.observe.compiled import Compiled, decoded, encoded, is_asked, upsert
from muster.observe.storage import iso, outcomes
from muster.observe.tallies import move, standing
from muster.plan.draws import draw
from muster.plan.judging import Judging
from muster.plan.measures import is_about, measures_of
from muster.plan.tallies import RECALLED

_COLUMNS: Final = tuple(outcomes.columns.keys())
_WRITE = Compiled(upsert(outcomes))
_OF_DEVICES = Compiled(select(outcomes).where(is_asked(outcomes.c.device_id)))
_LEFT_FOR_GOOD = ("failed", "rolled-back")


class DeviceStandings:
    """The rows of one device that a request may change. `declared` are the releases that are, with their pins; `rows`
    those that it has.
    """

    def __init__(
        self,
        device: Any,
        declared: Mapping[str, Mapping[str, str]],
        judging: Judging,
        rows: Iterable[dict[str, Any]],
    ) -> None:
        self._device = device
        self._declared = declared
        self._judging = judging
        self._before = {row["release"]: row for row in rows}
        self._rows = dict(self._before)
        self._heard: dict[str, tuple[int, str, datetime]] = {}
        """Model → the newest generation that it was heard at, about which release, and when."""

    def note(self, report: Report, at: datetime) -> None:
        """Count a report. Releases that are not declared, or of another model, are not its business."""
        release, phase = report.release, report.phase
        if phase is None and release is None:
            self._leave(f"{report.model}/", "", RUNNING)
        if release is None or phase is None or release not in self._declared or _model(release) != report.model:
            return
        old = self._rows.get(release)
        row = old.copy() if old else self._new(report, at)
        if not _keeps_what_it_showed(row, report):
            _advance(row, report, at)
        row["left"] = report.phase == "rolled-back" and row["phase"] in RUNNING
        self._stratify(row, report)
        if is_about(report, self._declared[release]):
            provider = self._judging.providers.get(release, {}).get(self._device.device_class)
            row["measures"] = {**row["measures"], **measures_of(report, provider, self._judging.keys)}
        self._rows[release] = row
        self._heard[report.model] = (report.generation, release, at)
        if len(self._rows) > 1:
            self._leave(f"{report.model}/", release, _left_by(phase))

    def _stratify(self, row: dict[str, Any], report: Report) -> None:
        versions = report.os_version, report.runtime_version
        # Those of a class are counted anew when what it declares changes.
        if self._judging.labels or (row["os_version"], row["runtime_version"]) != versions or not row["stratum"]:
            row["os_version"], row["runtime_version"] = versions
            row["stratum"] = self._judging.stratum(self._device.device_class, self._device.labels, *versions)

    def changes(self) -> list[tuple[dict[str, Any] | None, dict[str, Any]]]:
        """The rows that changed, as they were (None: new) and as they are."""
        self._draw()
        found = []
        for release, row in self._rows.items():
            before = self._before.get(release)
            if row is not before and row != before:
                found.append((before, row))
        return found

    def _draw(self) -> None:
        """Note the device's first word since something was offered to some: all that it said in this request."""
        for model, (generation, held, at) in self._heard.items():
            on_offer = self._judging.drawn.get((self._device.device_class, model))
            if not on_offer:
                continue
            for release in on_offer.keys() - {name for row in self._rows.values() for name in row["draws"] or ()}:
                own = self._rows.get(release)
                spoke_at = generation if held == release else own["generation"] if own else None
                found = draw(on_offer[release], generation, self._device.labels, spoke_at, at)
                if found is not None:
                    row = self._rows[release if found.came else held]
                    kept = {name: one for name, one in (row["draws"] or {}).items() if name in on_offer}
                    self._rows[row["release"]] = {**row, "draws": {**kept, release: list(found)}}

    def _new(self, report: Report, at: datetime) -> dict[str, Any]:
        return {
            "device_id": self._device.device_id,
            "release": report.release,
            "device_class": self._device.device_class,
            "generation": report.generation,
            "phase": report.phase,
            "error_code": report.error_code,
            "first_at": iso(at),
            "changed_at": iso(at),
            "entered": report.generation,
            "phase_since": iso(at),
            "left": False,
            "stratum": "",
            "os_version": None,
            "runtime_version": None,
            "measures": {},
            "draws": {},
        }

    def _leave(self, model: str, but: str, phases: Collection[str]) -> None:
        """The device is not on other releases of the model any more that it was on in these phases."""
        for release, row in self._rows.items():
            if release != but and release.startswith(model) and not row["left"] and row["phase"] in phases:
                self._rows[release] = {**row, "left": True}


def read_rows(connection: Connection, device_ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """The rows of these devices."""
    found: dict[str, list[dict[str, Any]]] = {device_id: [] for device_id in device_ids}
    for values in _OF_DEVICES.read(connection, found):
        row = dict(zip(_COLUMNS, values, strict=True))
        row["left"] = bool(row["left"])
        row["measures"], row["draws"] = decoded(row["measures"]), decoded(row["draws"])
        found[row["device_id"]].append(row)
    return found


def write_standings(connection: Connection, standings: Iterable[DeviceStandings], readings: Iterable[str]) -> None:
    """Write the rows that changed, and move the tallies."""
    changed = [pair for one in standings for pair in one.changes()]
    if not changed:
        return
    _WRITE.write(
        connection,
        [{**row, "measures": encoded(row["measures"]), "draws": encoded(row["draws"])} for _, row in changed],
    )
    move(
        connection,
        [standing(before) for before, _ in changed if before is not None],
        [standing(row) for _, row in changed],
        readings,
    )


def _model(release: str) -> str:
    return release.partition("/")[0]


def _left_by(phase: str) -> Collection[str]:
    """What a device leaves when it comes into this phase of another release.

    A device goes on reporting what it runs while something newer is on its way; only a switch ends that.
    """
    if phase == "activated":
        return {*RUNNING, *TIME_LIMITS}
    if phase in RUNNING:
        return RUNNING
    return TIME_LIMITS if phase in TIME_LIMITS else ()


def _keeps_what_it_showed(row: Mapping[str, Any], report: Report) -> bool:
    """That a device was called back takes nothing from what it had shown: it stays in the denominator, no failure."""
    recalled = report.phase == "rolled-back" and report.error_code in (None, RECALLED)
    return recalled and row["phase"] in ("confirmed", "healthy")


def _advance(row: dict[str, Any], report: Report, at: datetime) -> None:
    phase = row["phase"]
    changed = phase != report.phase or row["error_code"] != report.error_code
    if phase in _LEFT_FOR_GOOD and report.phase not in _LEFT_FOR_GOOD:
        # Another attempt: what it showed before says nothing of this one.
        row["entered"], row["measures"] = report.generation, {}
    if phase != report.phase:
        row["phase_since"] = iso(at)
    if changed or row["generation"] < report.generation:
        row |= {"phase": report.phase, "error_code": report.error_code, "changed_at": iso(at)}
        row["generation"] = report.generation

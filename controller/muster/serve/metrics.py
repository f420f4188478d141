"""Metrics in Prometheus' text format; names follow `muster_<noun>_<unit>`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine

from muster.observe.counts import devices_by_class, observed
from muster.observe.prometheus_source import COUNTED_AT, LABELS, TALLY
from muster.observe.status import read_status
from muster.plan.exposures import never_offered
from muster.plan.tallies import DRAWN, ENROLLED, Tally

REGISTRY = CollectorRegistry()
REPORTS = Counter("muster_reports", "Reports taken, each once.", registry=REGISTRY)
ENROLMENTS = Counter("muster_enrolments", "Devices enrolled.", registry=REGISTRY)
LIMITED = Counter("muster_requests_limited", "Requests that were put off, by limit.", ["limit"], registry=REGISTRY)
TICKS = Counter("muster_ticks", "Ticks of the loop, by outcome.", ["outcome"], registry=REGISTRY)
TICK_SECONDS = Histogram("muster_tick_seconds", "Duration of a tick of the loop.", registry=REGISTRY)


class FleetCollector(Collector):
    """Gauges that are read from the storage when they are scraped, so that every replica gives the same."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Prometheus' entry point."""
        with self._engine.connect() as connection:
            loop = read_status(connection, "loop") or {}
            now = datetime.now(UTC)
            seen = observed(connection, now)
            classes = devices_by_class(connection)
        yield GaugeMetricFamily(
            "muster_generation", "Generation of the published desired state.", value=loop.get("generation", 0)
        )
        age = GaugeMetricFamily("muster_tick_age_seconds", "Time since the loop last finished a tick.")
        if loop.get("at"):
            age.add_metric([], (datetime.now(UTC) - datetime.fromisoformat(loop["at"])).total_seconds())
        yield age
        devices = GaugeMetricFamily("muster_devices", "Enrolled devices.", labels=["device_class"])
        for device_class, count in classes.items():
            devices.add_metric([device_class], count)
        yield devices
        phases = GaugeMetricFamily(
            "muster_release_devices",
            "Devices by how far they came with a release.",
            labels=["release", "device_class", "phase"],
        )
        for (release, device_class), exposure in seen.exposures.items():
            for phase, count in exposure.phases.items():
                phases.add_metric([release, device_class, phase], count)
        yield phases
        unreached = GaugeMetricFamily(
            "muster_release_never_offered_devices",
            "Enrolled devices that never spoke of a release; in no share.",
            labels=["release", "device_class"],
        )
        for (release, device_class), count in never_offered(seen.tally, seen.exposures).items():
            unreached.add_metric([release, device_class], count)
        yield unreached
        yield from _tally(seen.tally, now)


def _tally(tally: Tally, now: datetime) -> Iterator[GaugeMetricFamily]:
    """What guardrails are judged by, for those who judge from Prometheus (observe/prometheus_source)."""
    cells = GaugeMetricFamily(TALLY, "Devices by where they stand with a release.", labels=LABELS)
    for cell, count in tally.items():
        if cell.what not in (ENROLLED, DRAWN):
            cells.add_metric([str(int(part)) if isinstance(part, int) else part for part in cell], count)
    yield cells
    yield GaugeMetricFamily(COUNTED_AT, "When these devices were counted.", value=now.timestamp())


def render(engine: Engine) -> bytes:
    """The whole page."""
    fleet = CollectorRegistry()
    fleet.register(FleetCollector(engine))
    return generate_latest(REGISTRY) + generate_latest(fleet)

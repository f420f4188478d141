"""Watching the demo: what the controller says of its devices, and when each moment was first seen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from muster.kinds.errors import MusterError, TryAgain
from muster.serve.client import ControllerClient

PAUSE = 0.5


@dataclass
class Snapshot:
    """The fleet at one moment."""

    at: datetime
    status: dict[str, Any]
    devices: list[dict[str, Any]]

    def running(self) -> dict[str, Counter[str]]:
        """Device class → release → number of devices that run it."""
        found: dict[str, Counter[str]] = {}
        for device in self.devices:
            found.setdefault(device["deviceClass"], Counter())[device["running"] or "nothing"] += 1
        return found


@dataclass
class Moments:
    """First and last device on a release, per act."""

    first: datetime | None = None
    last: datetime | None = None


@dataclass
class Observer:
    """Polls the controller; `show` is called with every snapshot."""

    client: ControllerClient
    show: Callable[[Snapshot, str], None]
    between: Callable[[], None] = lambda: None
    history: list[Snapshot] = field(default_factory=list)

    def look(self) -> Snapshot | None:
        """One snapshot; None while the controller does not answer."""
        try:
            status = self.client.get("/v1/status")
            devices = list(self.client.pages("/v1/devices", limit=1_000))
        except TryAgain:
            return None
        return Snapshot(datetime.now(UTC), status, devices)

    def wait_for(self, what: str, holds: Callable[[Snapshot], bool], seconds: float) -> Moments:
        """Look until `holds`; the moments at which devices began and finished to change what they run.

        Raises `TryAgain` after `seconds`, with what was seen last.
        """
        deadline = time.monotonic() + seconds
        moments, before = Moments(), None
        snapshot = None
        while time.monotonic() < deadline:
            self.between()
            snapshot = self.look()
            if snapshot is None:
                time.sleep(PAUSE)
                continue
            now_running = {device["deviceId"]: device["running"] for device in snapshot.devices}
            if before is not None and now_running != before:
                moments.first = moments.first or snapshot.at
                moments.last = snapshot.at
            before = now_running
            self.history.append(snapshot)
            self.show(snapshot, what)
            if holds(snapshot):
                return moments
            time.sleep(PAUSE)
        raise TryAgain(f"not seen within {seconds:.0f} s: {what}", _last_words(snapshot))

    def ticks(self) -> set[str]:
        """Times of all ticks that were seen in time: the loop remembers some."""
        return {moment for snapshot in self.history for moment in snapshot.status.get("recentTicks", ())}

    def events(self) -> list[dict[str, Any]]:
        """The ledger."""
        deadline = time.monotonic() + 30
        while True:
            self.between()
            try:
                return list(self.client.pages("/v1/ledger", limit=1_000))
            except MusterError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE)


def _last_words(snapshot: Snapshot | None) -> str:
    if snapshot is None:
        return "the controller did not answer"
    conditions = "; ".join(
        f"{item['type']} {item['status']}: {item['message']}"
        for item in snapshot.status.get("conditions", [])
        if item["status"] != "True"
    )
    waiting = "; ".join(
        f"{device['deviceId']} runs {device['running']}, should run {device['desired']}: {device['phase']} "
        f"{device['errorCode'] or ''} at generation {device['generation']}"
        for device in snapshot.devices
        if not device["synced"] or device["phase"] != "healthy"
    )
    return f"{waiting}. {conditions}"

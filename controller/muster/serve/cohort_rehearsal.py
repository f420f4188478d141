"""A rollback, rehearsed on the real devices of a staging cohort, through the running controller.

1. promote   every device of the cohort that is given the newer release runs it in good health
2. halt      the release is suspended by hand, as a guardrail would do it
3. revert    the controller commits the revert, and every one of those devices is back on the older release, healthy

Rules it keeps: nothing but the staging cohort has the newer release, so that the halt takes it from nobody else; every
wait has an end; and what counts is what devices report, never what was published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from muster.kinds.errors import Refused, TryAgain
from muster.kinds.fleet import Fleet
from muster.kinds.release import Release

_NAMED = 5


class Controller(Protocol):
    """What `serve.client.ControllerClient` offers."""

    def get(self, path: str, **query: str | int) -> Any:
        """The JSON answer to GET `path`."""

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to POST `path`."""

    def pages(self, path: str, **query: str | int) -> Any:
        """The items of every page."""


@dataclass(frozen=True)
class Surroundings:
    """The clock, the pause between two questions, and how long each of the three steps may take."""

    now: Callable[[], datetime]
    pause: Callable[[], None]
    patience: timedelta


@dataclass
class CohortRehearsal:
    """One run. `who` is "Name <address>", for the ledger; `say` gets a line for each thing that happened."""

    controller: Controller
    surroundings: Surroundings
    cohort: str
    newer: Release
    older: Release
    who: str
    say: Callable[[str], None]
    devices: tuple[str, ...] = field(default=(), init=False)

    def play(self) -> bool:
        """True if every device that ran the newer release came back to the older one.

        Raises `Refused` if no device of the cohort is given the newer release, or does not get it in time: then nothing
        was halted, and nothing rehearsed.
        """
        self.devices = tuple(sorted(self._given()))
        if not self.devices:
            raise Refused(
                f"no device of cohort {self.cohort} that reports is given {self.newer.name}",
                f'promote it there first: muster promote {self.newer.name} --cohort {self.cohort} --why "rehearsal"',
            )
        self.say(f"promote: {len(self.devices)} devices of {self.cohort} are given {self.newer.name}")
        if missing := self._wait(self.newer):
            raise Refused(
                f"{_names(missing)} did not come to run {self.newer.name}", "muster describe device ID says why"
            )
        self.say(f"promote: all run it in good health; halt: suspending {self.newer.name}")
        asked = {"release": self.newer.name, "by": self.who, "why": f"rehearsal in cohort {self.cohort}"}
        before = self._downloads()
        self.controller.post("/v1/suspend", asked)
        missing = self._wait(self.older)
        if missing:
            self.say(f"revert: {_names(missing)} did not come back to {self.older.name}")
            return False
        after = self._downloads()
        fetched = sum(after[name] > count for name, count in before.items() if name in after)
        self.say(f"revert: all are back on {self.older.name} in good health; {fetched} of them downloaded it anew")
        return self._reverted()

    def _given(self) -> list[str]:
        states = self._states()
        return [name for name, state in states.items() if state["desired"] == self.newer.name and state["lastSeen"]]

    def _wait(self, release: Release) -> list[str]:
        """Wait until every device runs the release in good health; those that never did."""
        end = self.surroundings.now() + self.surroundings.patience
        while True:
            missing = self._not_on(release)
            if not missing or self.surroundings.now() >= end:
                return missing
            self.surroundings.pause()

    def _not_on(self, release: Release) -> list[str]:
        try:
            states = self._states()
        except TryAgain:
            # A controller that restarts is part of life; the wait has its end.
            return list(self.devices)
        return [
            name
            for name in self.devices
            if (state := states.get(name)) is None
            or (state["running"], state["phase"], state["synced"]) != (release.name, "healthy", True)
        ]

    def _reverted(self) -> bool:
        """True once the controller said in its ledger that git holds the revert."""
        end = self.surroundings.now() + self.surroundings.patience
        while not self._is_reverted():
            if self.surroundings.now() >= end:
                self.say("revert: devices are back, and the revert is not in git: muster get status says why")
                return False
            self.surroundings.pause()
        self.say("revert: git holds it; to offer the release again, revert that commit")
        return True

    def _is_reverted(self) -> bool:
        try:
            status = self.controller.get("/v1/status")
        except TryAgain:
            return False
        return all(item["release"] != self.newer.name for item in status.get("suspensions", []))

    def _downloads(self) -> dict[str, int]:
        states = self._states()
        return {name: states[name]["telemetry"]["downloads"] or 0 for name in self.devices if name in states}

    def _states(self) -> dict[str, dict[str, Any]]:
        """Devices of the cohort, by their ids."""
        return {
            state["deviceId"]: state
            for state in self.controller.pages("/v1/devices", limit=1_000)
            if state["cohort"] == self.cohort and state["model"] == self.newer.model
        }


def refuse_others(fleet: Fleet, newer: Release, cohort: str) -> None:
    """Raises `Refused` unless this cohort is declared and is the only one that has the release."""
    if all(item.metadata.name != cohort for item in fleet.cohorts):
        known = ", ".join(item.metadata.name for item in fleet.cohorts)
        raise Refused(f"no cohort {cohort} is declared", f"declared are: {known or 'none'}")
    others = [name for name, ppm in newer.spec.rollout.cohorts.items() if ppm and name != cohort]
    if others:
        raise Refused(
            f"{newer.name} is offered to {', '.join(others)}, too: halting it would take it from them",
            "rehearse before it goes there, or in the simulator: leave out --cohort",
        )


def _names(devices: list[str]) -> str:
    more = f" and {len(devices) - _NAMED} more" if len(devices) > _NAMED else ""
    return f"{', '.join(devices[:_NAMED])}{more}"

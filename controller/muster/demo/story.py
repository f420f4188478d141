"""The story: 1.1.0 from 5 % to 25 % to 100 %, then 1.2.0, which fails in the field and is taken back.

People only commit. Everything else is done by the daemon and the agents, and is observed from outside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from muster.demo.chaos import Chaos
from muster.demo.detection import MOST_TICKS, detection
from muster.demo.observer import Moments, Observer, Snapshot
from muster.demo.report import Check, Halt, Promotion, Report
from muster.demo.scratch import MODEL, OWNER, ScratchRepository
from muster.kinds.fleet import Fleet
from muster.source.git import Repository
from muster.source.load import Loader

# Begin, three promotions, and the failure.
ACTS = 5
PATIENCE = 120.0
GOOD, BAD = "1.1.0", "1.2.0"


@dataclass
class Story:
    """One run of the story. `devices` is how many were enrolled."""

    scratch: ScratchRepository
    observer: Observer
    chaos: Chaos
    devices: int
    started: float = field(default_factory=time.monotonic)
    promotions: list[Promotion] = field(default_factory=list)

    def play(self) -> Report:
        """Play all acts; what was observed. Raises `TryAgain` if something is not seen in time."""
        self._act("every device runs 1.0.0", self._all_run("1.0.0"))
        for fleet_share in ("5%", "25%", "100%"):
            self._promote({"canary": "100%", "fleet": fleet_share})
        halt = self._fail()
        final = self.observer.history[-1]
        return Report(
            devices=self.devices,
            classes=sorted(final.running()),
            seconds=time.monotonic() - self.started,
            kills=self.chaos.made,
            promotions=tuple(self.promotions),
            halt=halt,
            commits=tuple(self.scratch.log()),
            final={name: dict(counts) for name, counts in final.running().items()},
            checks=tuple(self._checks(final, halt)),
        )

    def _act(self, what: str, holds: Callable[[Snapshot], bool]) -> Moments:
        self.chaos.begin_act()
        return self.observer.wait_for(what, lambda seen: self.chaos.act_is_over() and holds(seen), PATIENCE)

    def _promote(self, cohorts: Mapping[str, str]) -> None:
        subject = f"Promote {GOOD} to {cohorts['fleet']} of the fleet"
        committed = datetime.now(UTC)
        commit = self.scratch.roll_out(GOOD, cohorts, subject)
        moments = self._act(subject, self._settled(commit))
        published = self._event("published", commit)
        count = self._count_running(f"{MODEL}/{GOOD}")
        self.promotions.append(
            Promotion(
                subject=subject,
                commit=commit,
                committed=committed,
                published=published,
                first_device=moments.first or published,
                all_devices=moments.last or published,
                devices=count,
            )
        )

    def _fail(self) -> Halt:
        before = _downloads(self.observer.history[-1])
        committed = datetime.now(UTC)
        commit = self.scratch.roll_out(BAD, {"canary": "100%", "fleet": "0%"}, f"Promote {BAD} to its canary")
        moments = self._act(f"{BAD} is reverted, and every device is back on {GOOD}", self._recovered(commit))
        after = self.observer.history[-1]
        exposures = [row for row in after.status["releases"] if row["release"] == f"{MODEL}/{BAD}"]
        reverted = self._last_event("reverted")
        tried = sum(row["tried"] + row["recalled"] for row in exposures)
        harmed = sum(row["failures"] for row in exposures)
        self.scratch.pull()
        fetched = {name: count - before[name] for name, count in _downloads(after).items()}
        return Halt(
            release=f"{MODEL}/{BAD}",
            committed=committed,
            published=self._event("published", commit),
            first_failure=datetime.fromisoformat(exposures[0]["firstFailureAt"]),
            detection=detection(self.observer.events(), self.observer.ticks(), f"{MODEL}/{BAD}"),
            suspended=datetime.fromisoformat(self._last_event("suspended")["at"]),
            reverted=datetime.fromisoformat(reverted["at"]),
            recovered=moments.last or after.at,
            revert_commit=reverted["body"]["commit"],
            reason=reverted["body"]["reason"],
            fetched_by=sorted(name for name, count in fetched.items() if count),
            tried=tried,
            harmed=harmed,
            recalled=tried - harmed,
            # A device downloads the bad release once; a second download would be for the way back.
            downloads_to_recover=sum(count - 1 for count in fetched.values() if count > 1),
        )

    def _all_run(self, version: str) -> Callable[[Snapshot], bool]:
        def holds(snapshot: Snapshot) -> bool:
            return len(snapshot.devices) == self.devices and all(
                device["running"] == f"{MODEL}/{version}" and device["phase"] == "healthy"
                for device in snapshot.devices
            )

        return holds

    def _settled(self, commit: str) -> Callable[[Snapshot], bool]:
        """Every device runs, healthily, what this commit desires for it."""

        def holds(snapshot: Snapshot) -> bool:
            return (
                snapshot.status["commit"] == commit
                and snapshot.status["sync"] == "Synced"
                and all(device["synced"] and device["phase"] == "healthy" for device in snapshot.devices)
            )

        return holds

    def _recovered(self, commit: str) -> Callable[[Snapshot], bool]:
        """Somebody committed after this commit, and every device runs, healthily, what that one desires."""

        def holds(snapshot: Snapshot) -> bool:
            head = self.scratch.head()
            return (
                head != commit
                and snapshot.status["commit"] == head
                and not snapshot.status["suspensions"]
                and snapshot.status["sync"] == "Synced"
                and self._all_run(GOOD)(snapshot)
            )

        return holds

    def _checks(self, final: Snapshot, halt: Halt) -> list[Check]:
        fleet = self._declared()
        wrong = [device["deviceId"] for device in final.devices if not _runs_what_git_declares(device, fleet)]
        generations = [event["body"]["generation"] for event in self.observer.events() if event["event"] == "published"]
        canary = {device["deviceId"] for device in final.devices if device["labels"].get("ring") == "canary"}
        failing = [row for row in final.status["releases"] if row["release"] == f"{MODEL}/{BAD}"]
        author = next((line for line in self.scratch.log() if line.startswith(halt.revert_commit[:7])), "")
        return [
            Check(
                "the statistics found the harm",
                halt.detection.evidence >= halt.detection.needed,
                f"{halt.detection.failed} of {halt.detection.tried} against {halt.detection.limit}",
            ),
            Check(
                f"at most {MOST_TICKS} ticks from the verdict to the revert commit",
                1 <= halt.detection.ticks <= MOST_TICKS,
                str(halt.detection.ticks),
            ),
            Check("every device runs what git declares", not wrong, f"{self.devices - len(wrong)} of {self.devices}"),
            Check("the daemon committed the revert", "Revert" in author and OWNER not in author, author),
            Check(
                "generations rise without a gap",
                generations == list(range(1, len(generations) + 1)),
                ", ".join(map(str, generations)),
            ),
            Check(
                f"{BAD} failed on one device class only",
                [row["deviceClass"] for row in failing if row["failures"]] == ["cam-lowlight"],
                halt.reason,
            ),
            Check(
                f"nobody outside the canary fetched {BAD}",
                set(halt.fetched_by) <= canary,
                f"fetched by {len(halt.fetched_by)} devices, all of them among the {len(canary)} canaries",
            ),
            Check("going back needed no download", halt.downloads_to_recover == 0, str(halt.downloads_to_recover)),
        ]

    def _declared(self) -> Fleet | None:
        repository = Repository(self.scratch.clone)
        return Loader().commit(repository, repository.resolve("HEAD")).fleet

    def _count_running(self, release: str) -> int:
        return sum(device["running"] == release for device in self.observer.history[-1].devices)

    def _event(self, event: str, commit: str) -> datetime:
        found = [e for e in self.observer.events() if e["event"] == event and e["body"].get("commit") == commit]
        return datetime.fromisoformat(found[0]["at"])

    def _last_event(self, event: str) -> dict[str, Any]:
        return [e for e in self.observer.events() if e["event"] == event][-1]


def _runs_what_git_declares(device: dict[str, Any], fleet: Fleet | None) -> bool:
    """Compare the digests that a device reported with the pins in the clone, without asking the controller."""
    if fleet is None:
        return False
    offered = fleet.releases_of(MODEL, device["deviceClass"])
    newest = next((release for release in offered if release.spec.rollout.reaches_any), None)
    telemetry = device["telemetry"]
    return newest is not None and (telemetry["model_hash"], telemetry["config_version"]) == (
        newest.spec.stages.quantized,
        newest.spec.config_version,
    )


def _downloads(snapshot: Snapshot) -> dict[str, int]:
    """Artifacts that each device downloaded since it was set up."""
    return {device["deviceId"]: device["telemetry"]["downloads"] or 0 for device in snapshot.devices}

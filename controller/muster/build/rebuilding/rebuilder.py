"""The loop of a rebuilder. Time and sleep come in; where releases come from and verdicts go is the desk's matter.

| what came out                          | what happens                                                      |
|----------------------------------------|-------------------------------------------------------------------|
| GOOD, BAD                              | published at once                                                 |
| UNKNOWN                                | tried again later; after the last attempt published                |
| the disk, the network, the branch refuse | tried again later, and nothing is said of the release            |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

from muster.build.rebuild import Outcome
from muster.build.rebuilding.attempts import Attempts, Patience
from muster.build.rebuilding.log import Log
from muster.build.rebuilding.queue import Waiting, in_order
from muster.kinds.errors import MusterError
from muster.kinds.release import Release


class Desk(Protocol):
    """Where a rebuilder gets its work, and hands it in."""

    def waiting(self) -> Sequence[Waiting]:
        """Releases without a verdict of this rebuilder. Raises `MusterError` if that cannot be found out."""

    def rebuild(self, release: Release, log: Log) -> Outcome:
        """Build it again. Raises `TryAgain` if that says nothing of the release."""

    def publish(self, release: Release, outcome: Outcome) -> str:
        """Sign the verdict and put it where others find it; where that is. Raises `MusterError`."""


@dataclass(frozen=True)
class Done:
    """What became of one release. `verdict` and `where` if it was published, else `again`: when it is tried again."""

    release: str
    reason: str
    verdict: Literal["GOOD", "BAD", "UNKNOWN"] | None = None
    level: str | None = None
    where: str | None = None
    again: datetime | None = None


@dataclass(frozen=True)
class Rebuilder:
    """`told` hears of every release, as soon as it is done."""

    desk: Desk
    attempts: Attempts
    patience: Patience
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    told: Callable[[Done], None] = lambda _: None

    def once(self) -> list[Done]:
        """Take everything that is due, one after the other. Raises what `Desk.waiting` raises."""
        found = []
        for release in in_order(self.desk.waiting()):
            if self.attempts.due(release, self.clock()):
                found.append(self._try(release))
                self.told(found[-1])
        return found

    def forever(self, pause: float) -> None:
        """Look again and again, every so many seconds. A desk that cannot say what waits is asked again."""
        while True:
            try:
                self.once()
            except MusterError as error:
                self.told(Done("the queue", error.message))
            self.sleep(pause)

    def _try(self, release: Release) -> Done:
        log, before = Log(self.clock), self.attempts.of(release)
        if before is not None:
            log.say(f"attempt {before.count + 1}; the one before: {before.reason}")
        try:
            outcome = self.desk.rebuild(release, log)
            reason = outcome.reason or "every output is its pin"
            tried = 1 if before is None else before.count + 1
            if outcome.rebuild.verdict == "UNKNOWN" and tried < self.patience.attempts:
                return self._later(release, reason)
            log.say(f"{outcome.rebuild.verdict} at {outcome.rebuild.level}: {reason}")
            logged = outcome.rebuild.model_copy(update={"log": log.lines})
            where = self.desk.publish(release, replace(outcome, rebuild=logged))
        except MusterError as error:
            return self._later(release, error.message)
        self.attempts.told(release)
        return Done(release.name, reason, outcome.rebuild.verdict, outcome.rebuild.level, where)

    def _later(self, release: Release, reason: str) -> Done:
        failures = self.attempts.failed(release, reason[:1_000], self.clock(), self.patience)
        return Done(release.name, reason, again=failures.due)

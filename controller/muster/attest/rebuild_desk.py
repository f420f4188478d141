"""The desk of a rebuilder at a repository: its queue is what a commit declares, less what its key has judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from muster.artifacts.store import Store
from muster.attest.provenance import rebuild_provenance_of
from muster.attest.rebuild_verdicts import Verdicts
from muster.build.environment import MAX_LOCK
from muster.build.hermetic.run import HermeticRun
from muster.build.measuring.machine import Machine
from muster.build.rebuild import Outcome, could_not_tell, rebuild_release, vary
from muster.build.rebuilding.log import Log
from muster.build.rebuilding.queue import Waiting
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable
from muster.kinds.evidence import Rebuild
from muster.kinds.release import Release
from muster.source.load import Loader

_COMMITS: Final = 1_000
"""How far back the commit that declared a release is looked for."""
_UNKNOWN_AGE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Of what a shallow clone does not tell: it comes last."""


@dataclass(frozen=True)
class Bench:
    """Where a rebuilder builds: `run` makes the way in which stages run, for a release and the bytes of its lock.

    `machine` is what the arithmetic sees; `emulated_on` the real one, if that is another.
    """

    store: Store
    machine: Machine
    run: Callable[[Release, bytes], HermeticRun]
    emulated_on: Machine | None = None
    varies: bool = False
    """Whether what comes out right is built in other circumstances too."""


@dataclass
class RepositoryDesk:
    """`revision` names the commit whose releases are rebuilt; `names`, if any, are all that is taken.

    A named release is taken also where nobody could tell before.
    """

    verdicts: Verdicts
    bench: Bench
    clock: Callable[[], datetime]
    revision: str = "HEAD"
    names: Sequence[str] = ()
    _loader: Loader = field(default_factory=Loader)
    _declared: dict[str, datetime] = field(default_factory=dict)
    _commit: str = ""

    def waiting(self) -> Sequence[Waiting]:
        """Raises `Refused` if the commit does not declare a fleet, or not a named release; `Unusable`."""
        repository = self.verdicts.repository
        self._commit = repository.resolve(self.revision)
        fleet = self._loader.commit(repository, self._commit).fleet_or_refuse(self._commit)
        if unknown := [name for name in self.names if fleet.release(name) is None]:
            raise Refused(
                f"{self._commit[:12]} does not declare {', '.join(unknown)}", "list what it does: muster get releases"
            )
        releases = [one for one in fleet.releases if not self.names or one.name in self.names]
        judged = {one.release for one in self.verdicts.of(releases, self._commit) if self._counts(one)}
        return [Waiting(one, self._declared_at(one)) for one in releases if one.name not in judged]

    def rebuild(self, release: Release, log: Log) -> Outcome:
        """Raises `TryAgain` if the disk refuses."""
        machine, now = self.bench.machine, self.clock()
        log.say(f"{release.name} of {self._commit}: artifact {release.spec.artifact.digest}")
        log.say(" ".join(f"{name}={value!r}" for name, value in machine.described().items()))
        log.say(f"lock: {release.spec.builder.lock}, {release.spec.builder.digest}")
        try:
            lock = self._lock(release)
            run = self.bench.run(release, lock)
        except TryAgain:
            raise
        except MusterError as error:
            # Not a build that refuses the model, but no build: that is nobody's fault who made the release.
            return self._marked(could_not_tell(release, (machine, now), error.message))
        outcome = rebuild_release(release, self.bench.store, lock, (machine, now), reporter=log, run=run)
        if self.bench.varies:
            outcome = vary(
                outcome,
                release,
                self.bench.store,
                run,
                lambda one: log.say(f"varied, {one.variation}: {one.outcome}, {one.seconds:.1f} s"),
            )
        return self._marked(outcome)

    def publish(self, release: Release, outcome: Outcome) -> str:
        """Raises `Refused`, `Unusable`, `TryAgain`."""
        now = self.clock().astimezone(UTC)
        provenance = None
        if outcome.result is not None:
            began = datetime.fromisoformat(outcome.rebuild.rebuilt_at)
            provenance = rebuild_provenance_of(
                release, outcome.result, (began, now), outcome.rebuild, self.bench.machine
            )
        return self.verdicts.publish(release, outcome.rebuild, now, provenance)

    def _marked(self, outcome: Outcome) -> Outcome:
        real = self.bench.emulated_on
        marked = outcome.rebuild.model_copy(update={"emulated_on": real.cpu if real else None})
        return replace(outcome, rebuild=marked)

    def _counts(self, one: Rebuild) -> bool:
        """A verdict of this very CPU if it is emulated, of any real one if it is not."""
        emulated = self.bench.machine.cpu if self.bench.emulated_on else None
        same = one.cpu == emulated if emulated else one.emulated_on is None
        return same and not (self.names and one.verdict == "UNKNOWN")

    def _lock(self, release: Release) -> bytes:
        path = release.spec.builder.lock
        found = self.verdicts.repository.show_file(self._commit, path)
        if found is None or len(found) > MAX_LOCK:
            raise Unusable(f"{path} is not a lock in {self._commit[:12]}", "commit the lock that the release names")
        return found

    def _declared_at(self, release: Release) -> datetime:
        """When the oldest commit that is looked at declared it. A rollout that changes later makes it no newer."""
        if release.name not in self._declared:
            commits = self.verdicts.repository.log(release.path, _COMMITS, self._commit, first_parent=True)
            self._declared[release.name] = commits[-1].at if commits else _UNKNOWN_AGE
        return self._declared[release.name]

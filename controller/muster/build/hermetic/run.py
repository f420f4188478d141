"""Running the stages in an environment: a `RunStages` for `muster.build.pipeline.build`."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from muster.artifacts.store import DamagedObject, MissingObject, Store
from muster.build.environment import check_environment
from muster.build.hermetic.environment import Environment, environment_for
from muster.build.hermetic.lock import read_lock
from muster.build.hermetic.messages import MAX_RESULT, read_result, write_request
from muster.build.hermetic.process import Circumstances, run_process
from muster.build.hermetic.program import program
from muster.build.hermetic.step import REQUEST, RESULT, STORE
from muster.build.pipeline import BuildInputs, StagesRun
from muster.build.sandbox.confinement import Level
from muster.build.sandbox.folder import read_left
from muster.build.stages import Reporter
from muster.kinds.errors import Unusable
from muster.kinds.release import Builder

_PROGRAM = "program.zip"


@dataclass(frozen=True)
class HermeticRun:
    """Runs the stages in an environment's own interpreter. Nothing is taken from the cache of stages."""

    environment: Environment
    circumstances: Circumstances = field(default_factory=Circumstances)
    lowest: Level = Level.LANDLOCK
    """The weakest level of the sandbox that is accepted."""

    def __call__(
        self,
        inputs: BuildInputs,
        store: Store,
        *,
        cached: bool = True,  # noqa: ARG002 - results of this process say nothing about that environment
        reporter: Reporter | None = None,
        pinned_table: str | None = None,
    ) -> StagesRun:
        """Raises what the stages raise there; `Unusable` if the process does not end well, `TryAgain`."""
        with tempfile.TemporaryDirectory(prefix="muster-build-") as name:
            folder = Path(name) / self.circumstances.inside
            folder.mkdir(exist_ok=True)
            inside = Store(folder / STORE)
            for digest in (inputs.source, inputs.calibration, inputs.evaluation, inputs.golden, pinned_table):
                if digest is not None:
                    inside.put(store.get(digest))
            (folder / REQUEST).write_bytes(write_request(inputs, pinned_table))
            (folder / _PROGRAM).write_bytes(program())
            python = self.environment.python
            # Not -I, which would ignore the hash seed that a varied build sets: the circumstances are ours anyway.
            command = [str(python), "-P", "-s", "-B", str(folder / _PROGRAM), str(folder)]
            command.append(f"{self.circumstances.umask:o}")
            readable = [self.environment.folder, python.resolve().parent.parent]
            around, lowest = self.circumstances, self.lowest
            run_process(command, folder=folder, readable=readable, circumstances=around, lowest=lowest)
            ran = read_result(_result(folder / RESULT), f"the build of {inputs.model}/{inputs.version}")
            self._check_tools(ran)
            _take(ran, inside, store)
        for outcome in ran.stages if reporter else ():
            reporter.started(outcome.stage)  # type: ignore[union-attr] # there are none to tell without a reporter
            reporter.finished(outcome)  # type: ignore[union-attr]
        return ran

    def _check_tools(self, ran: StagesRun) -> None:
        packages = self.environment.lock.packages
        if other := [
            f"{name} {version}" for name, version in ran.tools.items() if version not in packages.get(name, ())
        ]:
            raise Unusable(
                f"the stages ran with {', '.join(other)}, which the lock does not name",
                "report it: an environment holds nothing else",
            )


def hermetic_run(
    lock: bytes,
    name: str,
    state: Path,
    *,
    wheelhouse: Path | None = None,
    lowest: Level = Level.LANDLOCK,
) -> HermeticRun:
    """A run in the environment of a lock, which is made below the state folder if it is not there.

    Wheels come from `wheelhouse`, or from the state folder's own if it has one, and then from nowhere else. Raises
    what `read_lock` and `environment_for` raise. `name` is for messages.
    """
    own = state / "wheelhouse"
    source = wheelhouse or (own if own.is_dir() else None)
    environment = environment_for(read_lock(lock, name), state / "builders", source)
    return HermeticRun(environment, lowest=lowest)


def own_run(
    builder: Builder, lock: bytes, circumstances: Circumstances | None = None, lowest: Level = Level.LANDLOCK
) -> HermeticRun:
    """A run by this process's own interpreter, in a process of its own. Raises `Unusable` unless its tools are locked.

    Versions are compared, files are not: for bytes that are compared with their pins anyway.
    """
    check_environment(builder, lock)
    here = Environment(Path(sys.prefix), read_lock(lock, builder.lock), {}, made=False)
    return HermeticRun(here, circumstances or Circumstances(), lowest)


def _result(path: Path) -> bytes:
    try:
        return read_left(path, MAX_RESULT + 1)
    except OSError:
        return b""


def _take(ran: StagesRun, inside: Store, store: Store) -> None:
    for digest in ran.outputs.values():
        try:
            if digest is not None and not store.has(digest):
                store.put(inside.get(digest))
        except (MissingObject, DamagedObject) as error:
            raise Unusable("the build names an output that it did not leave", "build again") from error

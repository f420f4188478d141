"""Running a stage at most once: its result is addressed by everything that it depends on.

key = sha256 of canonical JSON {stage, code, inputs (digests), parameters, tools (versions)}. Code is a number raised
by hand whenever a stage may put out other bytes. Inputs are hashed before and after the stage ran; a stage whose input
changed under it is refused. A remembered result that is missing or damaged is made again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from muster.artifacts.store import DamagedObject, MissingObject, Store
from muster.build.environment import tool_versions
from muster.kinds.canonical import canonical_json
from muster.kinds.errors import Refused
from muster.kinds.sha256 import digest_of, hex_of


class Reporter(Protocol):
    """Told how a build comes along; the terminal is its matter."""

    def started(self, stage: str) -> None:
        """`stage` begins."""

    def advanced(self, stage: str, done: int, total: int) -> None:
        """So many of so many parts of a long stage are done."""

    def finished(self, outcome: StageOutcome) -> None:
        """A stage has its result."""


class Silent:
    """Says nothing."""

    def started(self, stage: str) -> None:
        pass

    def advanced(self, stage: str, done: int, total: int) -> None:
        pass

    def finished(self, outcome: StageOutcome) -> None:
        pass


@dataclass(frozen=True)
class StageOutcome:
    """What a stage put out, and how long it took in seconds."""

    stage: str
    digest: str
    cached: bool
    seconds: float


@dataclass(frozen=True)
class StageCode:
    """A stage and the number of its code."""

    name: str
    version: int


class Runner:
    """Runs stages over a store."""

    def __init__(self, store: Store, reporter: Reporter | None, *, cached: bool) -> None:
        self.store = store
        self.reporter: Reporter = reporter or Silent()
        self.outcomes: list[StageOutcome] = []
        self._cached = cached
        self._tools = tool_versions()

    def run(
        self,
        code: StageCode,
        inputs: Mapping[str, str],
        parameters: Mapping[str, Any],
        function: Callable[[dict[str, bytes]], bytes],
    ) -> str:
        """Digest of the stage's output. `function` gets the bytes of `inputs` by name.

        Raises what the store raises for an input, and `Refused` if an input changed while the stage ran.
        """
        self.reporter.started(code.name)
        start = time.perf_counter()
        key = self.key(code, inputs, parameters)
        digest = self._remembered(key) if self._cached else None
        cached = digest is not None
        if digest is None:
            digest = self.store.put(self._call(code, inputs, function))
            self.store.remember(key, {"stage": code.name, "output": digest})
        outcome = StageOutcome(code.name, digest, cached, time.perf_counter() - start)
        self.outcomes.append(outcome)
        self.reporter.finished(outcome)
        return digest

    def key(self, code: StageCode, inputs: Mapping[str, str], parameters: Mapping[str, Any]) -> str:
        """The cache key: 64 hexadecimal digits."""
        value = {
            "stage": code.name,
            "code": code.version,
            "inputs": dict(inputs),
            "parameters": dict(parameters),
            "tools": self._tools,
        }
        return hex_of(digest_of(canonical_json(value)))

    def _remembered(self, key: str) -> str | None:
        digest = (self.store.recall(key) or {}).get("output")
        try:
            self.store.path(str(digest))
        except (MissingObject, DamagedObject):
            return None
        except Exception:  # noqa: BLE001 - whatever the index says, it is a cache
            return None
        return str(digest)

    def _call(self, code: StageCode, inputs: Mapping[str, str], function: Callable[[dict[str, bytes]], bytes]) -> bytes:
        data = {name: self.store.get(digest) for name, digest in inputs.items()}
        output = function(dict(data))
        for name, digest in inputs.items():
            try:
                self.store.path(digest)
                same = digest_of(data[name]) == digest
            except (MissingObject, DamagedObject):
                same = False
            if not same:
                raise Refused(f"input {name} of stage {code.name} changed while the stage ran", "look for who wrote it")
        return output

"""What a step may use, what became of it, and the words for both."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


class Level(enum.IntEnum):
    """How strongly a step is held; more is stronger."""

    LIMITS = 1
    LANDLOCK = 2
    NAMESPACES = 3

    @property
    def word(self) -> str:
        """As it is written and read."""
        return self.name.lower()


def level_named(word: str) -> Level:
    """The level of this name. Raises `ValueError`."""
    try:
        return Level[word.upper()]
    except KeyError:
        raise ValueError(f"no level of the sandbox: {word!r}") from None


Trespass = Literal[
    "file-size",
    "folder-size",
    "memory",
    "network",
    "open-files",
    "output",
    "outside-file",
    "privileges",
    "processes",
    "processor-time",
    "signal",
    "tracing",
    "wall-clock",
]
"""What a step can try that it may not."""


@dataclass(frozen=True)
class Limits:
    """Bytes and seconds. `memory` is the address space of each process, `resident` what all have in memory together."""

    memory: int = 4 * 2**30
    resident: int = 4 * 2**30
    processor_seconds: int = 900
    wall_seconds: float = 900
    file_size: int = 2**30
    folder_size: int = 8 * 2**30
    folder_entries: int = 100_000
    processes: int = 64
    """Threads count."""
    open_files: int = 256
    output: int = 4 * 2**20
    """Of each of the two streams; what is beyond is dropped."""


@dataclass(frozen=True)
class Confinement:
    """The folder that is a step's own, what else it may read, and how it is held.

    Files in `folder` become the step's while it runs: put copies there, no hard links. `environment` adds to the
    scrubbed one, and may replace what stands there.
    """

    folder: Path
    readable: tuple[Path, ...]
    limits: Limits
    level: Level
    environment: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o022
    user: int = 1000
    """Whom the step takes itself for, where there are namespaces. Who it is outside is not the caller's to say."""


@dataclass(frozen=True)
class Attempt:
    """Something that was not granted: what it was, an example, how often. At `limits` reading was."""

    trespass: Trespass
    example: str
    count: int = 1

    def __str__(self) -> str:
        times = f", {self.count} times" if self.count > 1 else ""
        return f"{self.trespass}: {self.example}{times}"


@dataclass(frozen=True)
class Outcome:
    """What became of a step. `ended_by` names the limit that ended it; `code` is None if a signal or we ended it.

    `attempts` are those that were seen; without a witness only limits are, and at `limits` reading was not
    refused. `peak_memory` is the largest resident set of one process, in bytes.
    """

    level: Level
    code: int | None
    signal: int | None
    ended_by: Trespass | Literal["stopped"] | None
    attempts: tuple[Attempt, ...]
    processor_seconds: float
    wall_seconds: float
    peak_memory: int
    stdout: bytes
    stderr: bytes

    @property
    def succeeded(self) -> bool:
        """True if it ended by itself with 0."""
        return self.code == 0 and self.ended_by is None

    def tried(self, trespass: Trespass) -> bool:
        """True if this was seen."""
        return any(attempt.trespass == trespass for attempt in self.attempts)

    def explain(self) -> str:
        """How it ended and what it tried, in one line."""
        if self.ended_by:
            end = f"was ended: {self.ended_by}"
        elif self.signal:
            end = f"ended by signal {self.signal}"
        else:
            end = f"ended with {self.code}"
        tried = "; ".join(str(attempt) for attempt in self.attempts)
        return f"{end} (it tried {tried})" if tried else end

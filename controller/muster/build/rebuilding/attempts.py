"""What a rebuilder tried in vain, and when it tries again: twice as long after each failure, up to a bound.

One file, replaced in one step, so that a crash leaves the old one or the new one. It holds nothing that cannot be lost:
without it everything is tried again at once.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from muster.artifacts.durable import make_folder, write_durably
from muster.kinds.errors import TryAgain, Unusable
from muster.kinds.release import Release

_LARGEST: Final = 16 * 1024 * 1024
_MOST_DOUBLINGS: Final = 30


@dataclass(frozen=True)
class Patience:
    """Seconds before the second attempt, and at most; after so many attempts it is said that nobody could tell."""

    first: int = 60
    longest: int = 6 * 3_600
    attempts: int = 6

    def after(self, failures: int) -> timedelta:
        """How long to wait after that many failures in a row, of which there is one at least."""
        # Doubled no further than any bound needs: whole numbers grow without end.
        return timedelta(seconds=min(self.longest, self.first * 2 ** min(failures - 1, _MOST_DOUBLINGS)))


class Failures(BaseModel):
    """Failures in a row of one release, why the last one failed, and when the next attempt is due."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Annotated[int, Field(ge=1)]
    reason: str
    due: AwareDatetime


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    failures: dict[str, Failures]


class Attempts:
    """The failures that a file remembers."""

    def __init__(self, path: Path) -> None:
        """Raises `Unusable` if the file is there and cannot be read; a damaged one counts as none."""
        self.path = path
        self._failures = dict(_read(path))

    def of(self, release: Release) -> Failures | None:
        """Its failures, if it failed last."""
        return self._failures.get(_key(release))

    def due(self, release: Release, now: datetime) -> bool:
        """Whether it is to be tried now."""
        found = self.of(release)
        return found is None or found.due <= now

    def failed(self, release: Release, reason: str, now: datetime, patience: Patience) -> Failures:
        """Remember a failure. Raises `TryAgain` if the disk refuses."""
        before = self.of(release)
        count = 1 if before is None else before.count + 1
        found = Failures(count=count, reason=reason, due=now.astimezone(UTC) + patience.after(count))
        self._write({**self._failures, _key(release): found})
        return found

    def told(self, release: Release) -> None:
        """Forget its failures: it has its verdict. Raises `TryAgain` if the disk refuses."""
        if self.of(release) is not None:
            self._write({key: found for key, found in self._failures.items() if key != _key(release)})

    def _write(self, failures: dict[str, Failures]) -> None:
        write_durably(self.path, _File(failures=failures).model_dump_json().encode() + b"\n")
        self._failures = failures


def _key(release: Release) -> str:
    """The artifact belongs to it: another one under the same name has not failed yet."""
    return f"{release.name}@{release.spec.artifact.digest}"


def _read(path: Path) -> Mapping[str, Failures]:
    try:
        with path.open("rb") as file:
            return _File.model_validate_json(file.read(_LARGEST)).failures
    except (FileNotFoundError, ValidationError):
        return {}
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}", "see the permissions of the state folder") from error


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """While it lasts, no other process takes from the queue that remembers at `path`. Raises `TryAgain` if one does."""
    make_folder(path.parent)
    with path.with_name(f"{path.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TryAgain(
                "another rebuilder with this key is at work on this state folder", "wait for it, or give it another key"
            ) from error
        yield

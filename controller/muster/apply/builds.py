"""Builds in the background: one at a time, each release once, again after a pause when it failed.

Nothing is kept across a restart but what was prepared: a build that was cut off starts again.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from muster.kinds.errors import MusterError, Refused

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True)
class Failure:
    """Why an artifact could not be prepared, how often, and when it is tried again."""

    reason: str
    attempts: int
    retry_at: datetime


class Builds:
    """`start` returns at once; `settle` collects what ended."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="build")
        self._on_end = on_end
        self._running: dict[str, concurrent.futures.Future[None]] = {}
        self._failures: dict[str, Failure] = {}

    def start(self, artifact: str, work: Callable[[], None]) -> None:
        """Begin to prepare an artifact, unless that is under way."""
        if artifact not in self._running:
            future = self._pool.submit(work)
            self._running[artifact] = future
            future.add_done_callback(lambda _: self._on_end())

    def settle(self, now: datetime) -> dict[str, str | None]:
        """Artifacts whose build ended since the last call → None, or why it failed. Raises what is no MusterError."""
        ended: dict[str, str | None] = {}
        for artifact, future in list(self._running.items()):
            if not future.done():
                continue
            del self._running[artifact]
            error = future.exception()
            if error is None:
                self._failures.pop(artifact, None)
                ended[artifact] = None
            elif isinstance(error, MusterError):
                ended[artifact] = error.message
                self._failures[artifact] = self._failure(artifact, error, now)
            else:
                raise error
        return ended

    def unbuildable(self, now: datetime) -> Mapping[str, str]:
        """Artifacts that are not to be tried now → why."""
        return {
            artifact: f"{failure.reason} (attempt {failure.attempts}; next at {failure.retry_at:%H:%M:%S} UTC)"
            for artifact, failure in self._failures.items()
            if failure.retry_at > now
        }

    def building(self) -> frozenset[str]:
        """Artifacts whose build is under way."""
        return frozenset(self._running)

    def stop(self) -> None:
        """Let a build that runs go on; start none. Its result is picked up after the next start."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _failure(self, artifact: str, error: MusterError, now: datetime) -> Failure:
        before = self._failures.get(artifact)
        attempts = before.attempts + 1 if before else 1
        # What is wrong with a release does not go away by trying again soon.
        pause = LONGEST_PAUSE if isinstance(error, Refused) else min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
        return Failure(error.message, attempts, now + pause)

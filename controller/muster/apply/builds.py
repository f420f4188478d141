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
    """Why a release could not be prepared, how often, and when it is tried again."""

    reason: str
    attempts: int
    retry_at: datetime


class Builds:
    """`start` returns at once; `settle` collects what ended. Releases are named by the digest of their pins."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="build")
        self._on_end = on_end
        self._running: dict[str, concurrent.futures.Future[None]] = {}
        self._failures: dict[str, Failure] = {}

    def start(self, pins: str, work: Callable[[], None]) -> None:
        """Begin to prepare a release, unless that is under way."""
        if pins not in self._running:
            future = self._pool.submit(work)
            self._running[pins] = future
            future.add_done_callback(lambda _: self._on_end())

    def settle(self, now: datetime) -> dict[str, str | None]:
        """Releases whose build ended since the last call → None, or why it failed."""
        ended: dict[str, str | None] = {}
        for pins, future in list(self._running.items()):
            if not future.done():
                continue
            del self._running[pins]
            error = future.exception()
            if error is None:
                self._failures.pop(pins, None)
                ended[pins] = None
            else:
                # Whatever it was (a full disk, a fault of ours): one release is not prepared, and the loop goes on.
                self._failures[pins] = failure = self._failure(pins, error, now)
                ended[pins] = failure.reason
        return ended

    def unbuildable(self, now: datetime) -> Mapping[str, str]:
        """Releases that are not to be tried now → why."""
        return {
            pins: f"{failure.reason} (attempt {failure.attempts}; next at {failure.retry_at:%H:%M:%S} UTC)"
            for pins, failure in self._failures.items()
            if failure.retry_at > now
        }

    def building(self) -> frozenset[str]:
        """Releases whose build is under way."""
        return frozenset(self._running)

    def stop(self) -> None:
        """Start no other build, and wait for the one that runs; whoever runs it ends it first."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _failure(self, pins: str, error: BaseException, now: datetime) -> Failure:
        before = self._failures.get(pins)
        attempts = before.attempts + 1 if before else 1
        # What is wrong with a release does not go away by trying again soon.
        pause = LONGEST_PAUSE if isinstance(error, Refused) else min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE)
        reason = error.message if isinstance(error, MusterError) else f"{type(error).__name__}: {error}"
        return Failure(reason, attempts, now + pause)

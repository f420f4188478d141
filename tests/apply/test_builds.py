"""Builds in the background: each release once, again after a pause, and whatever goes wrong stays with its release."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from muster.apply.builds import Builds
from muster.kinds.errors import Refused, TryAgain

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Bench:
    """Builds whose end can be waited for."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self.builds = Builds(on_end=self._ended.set)

    def run(self, error: BaseException | None, now: datetime = NOW) -> dict[str, str | None]:
        def work() -> None:
            if error:
                raise error

        self._ended.clear()
        self.builds.start("pins", work)
        assert self._ended.wait(10)
        return self.builds.settle(now)


@pytest.mark.parametrize(
    ("error", "pause"),
    [(Refused("differs"), timedelta(hours=1)), (TryAgain("no space"), timedelta(seconds=30)), (OSError("disk"), None)],
)
def test_a_failure_waits_and_does_not_spread(error: Exception, pause: timedelta | None) -> None:
    """What is refused waits an hour, what may pass half a minute; a fault of any kind is a reason, not an exception."""
    bench = Bench()
    assert str(error) in (bench.run(error)["pins"] or "")
    wait = pause or timedelta(seconds=30)
    assert "pins" in bench.builds.unbuildable(NOW + wait - timedelta(seconds=1))
    assert bench.builds.unbuildable(NOW + wait) == {}


def test_pauses_grow_and_a_success_forgets_them() -> None:
    """30 s, 60 s, 120 s; after a success the next failure begins again."""
    bench = Bench()
    for seconds in (30, 60, 120):
        bench.run(TryAgain("away"))
        assert "pins" in bench.builds.unbuildable(NOW + timedelta(seconds=seconds - 1))
        assert bench.builds.unbuildable(NOW + timedelta(seconds=seconds)) == {}
    assert bench.run(None) == {"pins": None}
    bench.run(TryAgain("away"))
    assert bench.builds.unbuildable(NOW + timedelta(seconds=30)) == {}


def test_a_build_under_way_is_not_started_again() -> None:
    """Two plans in a row that ask for the same release get one build."""
    bench, go = Bench(), threading.Event()
    runs: list[int] = []

    def work() -> None:
        go.wait(10)
        runs.append(1)

    bench.builds.start("pins", work)
    bench.builds.start("pins", work)
    assert bench.builds.building() == {"pins"}
    go.set()
    bench.builds.stop()
    assert runs == [1]

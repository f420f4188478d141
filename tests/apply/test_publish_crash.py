"""Publishing that is killed at every step: devices see the old generation or the new one, and the next call succeeds.

A child process publishes under an audit hook that counts what it asks of the file system below the public folder,
and dies at a given step without any clean-up, as after SIGKILL.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path

import pytest
from publishing import NOW, Device, Site

STEPS = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "tempfile.mkstemp"}
KILLED = 9


def run_killed_at(step: int, public: Path, action: Callable[[], object], steps: Collection[str] = STEPS) -> bool:
    """Run `action` in a child that dies before its `step`-th file operation. True if it got to the end before."""
    child = os.fork()
    if child == 0:
        seen = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            if event in steps and any(str(argument).startswith(str(public)) for argument in arguments):
                seen += 1
                if seen == step:
                    os._exit(KILLED)

        try:
            sys.addaudithook(hook)
            action()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, KILLED}
    return status == 0


def every_step(tmp_path: Path) -> list[tuple[int, Path]]:
    return [(step, tmp_path / str(step)) for step in range(1, 200)]


def test_killed_during_the_first_publish(tmp_path):
    """A kill at any step of the first publish leaves nothing published or all of it; the same call completes it."""
    for step, folder in every_step(tmp_path):
        site = Site.at(folder)
        done = run_killed_at(step, site.public, lambda site=site: site.publish(1, "1.0.0"))
        assert site.publisher().published().generation in ({1} if done else {0, 1})
        site.publish(1, "1.0.0")
        assert Device(folder / "device", site).poll().generation == 1
        if done:
            break
    assert 15 < step < 199


@pytest.mark.parametrize("after", ["same", "other"])
def test_killed_during_a_later_publish(tmp_path, after):
    """A kill at any step leaves old or new to a device that knows the old one and to a fresh one; then the same
    generation is published again, with the same content or, as after a new commit, with another.
    """
    for step, folder in every_step(tmp_path):
        site = Site.at(folder)
        site.publish(1, "1.0.0")
        known = Device(folder / "known", site)
        known.poll()
        done = run_killed_at(step, site.public, lambda site=site: site.publish(2, "1.1.0"))
        seen = known.poll().generation
        assert seen == Device(folder / "fresh", site).poll().generation == site.publisher().published().generation
        assert seen in ({2} if done else {1, 2})
        again = 2 if after == "same" or seen == 1 else 3
        site.publish(again, "1.1.0" if after == "same" else "1.2.0")
        assert known.poll().generation == Device(folder / "fresh", site).poll().generation == again
        if done:
            break
    assert 15 < step < 199


@pytest.mark.parametrize("days", [1, 4, 60, 200], ids=["timestamp", "snapshot", "targets", "root"])
def test_killed_during_a_refresh(tmp_path, days):
    """A kill at any step of a refresh leaves the generation valid for known and fresh devices."""
    for step, folder in every_step(tmp_path):
        site, later = Site.at(folder), NOW + timedelta(days=days)
        site.publish(1, "1.0.0")
        known = Device(folder / "known", site)
        known.poll()
        done = run_killed_at(step, site.public, lambda site=site, later=later: site.publisher().refresh(later))
        # At the old time everything that could be seen must hold: only then is it consistent.
        assert known.poll(NOW).generation == Device(folder / "fresh", site).poll(NOW).generation == 1
        site.publisher().refresh(later)
        assert known.poll(later).generation == Device(folder / "fresh", site).poll(later).generation == 1
        assert not site.publisher().refresh(later)
        if done:
            break
    assert 2 < step < 199

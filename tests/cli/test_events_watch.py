"""`muster events` of a running controller, and watching it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from muster.apply import ledger
from muster.cli import exit_code_of
from muster.observe.storage import writing
from sites import Site

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A controller's server, with two events in its ledger."""
    site = Site(tmp_path_factory.mktemp("state") / "state")
    site.start()
    enter(site, "suspended", "a/1.0.0", NOW - timedelta(minutes=2))
    enter(site, "lifted", "a/1.0.0", NOW - timedelta(minutes=1))
    yield site
    site.stop()


def enter(site: Site, event: str, release: str, at: datetime) -> None:
    with writing(site.engine) as connection:
        ledger.append(connection, event, f"{event}:{release}", {"release": release, "reason": "said so"}, at)


def ask(site: Site, *arguments: str) -> int:
    return exit_code_of(["events", "--server", site.url, "--state", str(site.state), *arguments])


def test_a_running_controller_tells_its_events(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """With reasons, oldest first; filtered as asked."""
    assert ask(site, "-o", "json", "--of", "a") == 0
    found = json.loads(capsys.readouterr().out)
    assert [event["reason"] for event in found] == ["ReleaseSuspended", "SuspensionLifted"]
    assert found[0]["summary"] == "a/1.0.0: said so"
    assert ask(site, "--reason", "SuspensionLifted") == 0
    assert capsys.readouterr().out.splitlines()[1].split("\t")[1:] == ["SuspensionLifted", "a/1.0.0: said so"]


def test_watching_ends_with_so_many_events(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """What comes while it watches is told, one object a line, and no more than asked for."""
    later = threading.Timer(0.2, enter, (site, "suspended", "b/2.0.0", datetime.now(UTC)))
    later.start()
    try:
        assert ask(site, "--watch", "--limit", "3", "--timeout", "20s", "--every", "50ms", "-o", "json") == 0
    finally:
        later.join()
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["body"]["release"] for event in told] == ["a/1.0.0", "a/1.0.0", "b/2.0.0"]


def test_watching_ends_with_its_time(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing more came: what was there is told, and that is no failure."""
    assert ask(site, "--watch", "--timeout", "100ms", "--every", "50ms", "--reason", "SuspensionLifted") == 0
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()] == ["SuspensionLifted"]


def test_only_a_controller_can_be_watched(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A clone does not change by itself; and one that does not answer is told."""
    assert ask(site, "--watch", "--from", "clone") == 2
    assert "only a running controller can be watched" in capsys.readouterr().err
    arguments = ["events", "--watch", "--timeout", "50ms", "--server", "http://127.0.0.1:9", "--state", str(site.state)]
    assert exit_code_of(arguments) == 2
    assert "no controller answers" in capsys.readouterr().err

"""The loop of a rebuilder, with a desk in memory: order, patience, what is published, and what a crash leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleets import make_release
from muster.build.measuring.machine import machine_of
from muster.build.rebuild import Outcome, could_not_tell
from muster.build.rebuilding.attempts import Attempts, Patience
from muster.build.rebuilding.log import Log
from muster.build.rebuilding.queue import Waiting, in_order
from muster.build.rebuilding.rebuilder import Done, Rebuilder
from muster.build.stages import StageOutcome
from muster.kinds.errors import MusterError, TryAgain
from muster.kinds.evidence import LOG_LINES, Rebuild
from muster.kinds.release import Release

BEGINNING = datetime(2026, 3, 1, 10, tzinfo=UTC)
MACHINE = machine_of("", "x86_64")
PATIENCE = Patience(first=60, longest=600, attempts=6)
OLD, NEW = make_release("1.0.0", {"canary": "5%"}), make_release("1.1.0", {"canary": "5%"})


class Watch:
    """A clock that only sleeping moves."""

    def __init__(self, most_sleeps: int = 0) -> None:
        self.now, self.left = BEGINNING, most_sleeps

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.now += timedelta(seconds=seconds)


@dataclass
class MemoryDesk:
    """Releases with what comes out of each attempt: a verdict, or an error; the last one stays."""

    outcomes: dict[str, list[str | MusterError]]
    releases: tuple[Release, ...] = (OLD, NEW)
    published: list[tuple[str, Rebuild]] = field(default_factory=list)
    refuses: list[MusterError] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    def waiting(self) -> list[Waiting]:
        judged = {name for name, _ in self.published}
        return [Waiting(one, BEGINNING) for one in self.releases if one.name not in judged]

    def rebuild(self, release: Release, log: Log) -> Outcome:
        self.tried.append(release.name)
        outcomes = self.outcomes[release.name]
        found = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        if isinstance(found, MusterError):
            raise found
        log.finished(StageOutcome("imported", "sha256:" + "a" * 64, cached=False, seconds=0.5))
        unknown = could_not_tell(release, (MACHINE, BEGINNING), "no input")
        reason = None if found == "GOOD" else "no input"
        return Outcome(unknown.rebuild.model_copy(update={"verdict": found}), reason)

    def publish(self, release: Release, outcome: Outcome) -> str:
        if self.refuses:
            raise self.refuses.pop()
        self.published.append((release.name, outcome.rebuild))
        return f"evidence/{release.name}.json"


def rebuilder(desk: MemoryDesk, folder: Path, watch: Watch, told: Callable[[Done], None] = lambda _: None) -> Rebuilder:
    """As after a start of the process: what failed is read from its file."""
    return Rebuilder(desk, Attempts(folder / "rebuilder/own.json"), PATIENCE, watch, watch.sleep, told)


def test_newest_and_widest_first() -> None:
    """A later commit comes before an earlier one, a larger share before a smaller one, names decide the rest."""
    later = BEGINNING + timedelta(days=1)
    narrow, wide = make_release("1.2.0", {"canary": "5%"}), make_release("1.3.0", {"fleet": "100%"})
    alike = make_release("1.4.0", {"fleet": "100%"})
    waiting = [Waiting(OLD, BEGINNING), Waiting(narrow, later), Waiting(alike, later), Waiting(wide, later)]
    assert [wide, alike, narrow, OLD] == list(in_order(waiting))
    assert in_order(waiting) == in_order(reversed(waiting))


def test_each_release_gets_one_verdict_with_its_log(tmp_path: Path) -> None:
    """GOOD and BAD are published at once, and nothing is taken twice."""
    desk = MemoryDesk({OLD.name: ["BAD"], NEW.name: ["GOOD"]})
    done = rebuilder(desk, tmp_path, Watch()).once()
    assert {(one.release, one.verdict) for one in done} == {(OLD.name, "BAD"), (NEW.name, "GOOD")}
    log = dict(desk.published)[NEW.name].log
    assert log[0] == f"2026-03-01T10:00:00Z imported: sha256:{'a' * 64}, 0.50 s"
    assert log[-1] == "2026-03-01T10:00:00Z GOOD at L1: every output is its pin"
    assert rebuilder(desk, tmp_path, Watch()).once() == []


def test_what_could_not_be_told_waits_twice_as_long_each_time(tmp_path: Path) -> None:
    """1, 2, 4, 8, then 10 minutes at most; and then it is said that nobody could tell, with what came before."""
    desk, watch = MemoryDesk({NEW.name: ["UNKNOWN"]}, (NEW,)), Watch()
    waits = []
    for _ in range(5):
        (done,) = rebuilder(desk, tmp_path, watch).once()
        assert (done.verdict, done.reason) == (None, "no input")
        waits.append((done.again - watch.now).total_seconds() / 60)
        watch.now = done.again - timedelta(seconds=1)
        assert rebuilder(desk, tmp_path, watch).once() == []
        watch.now = done.again
    assert waits == [1, 2, 4, 8, 10]
    (done,) = rebuilder(desk, tmp_path, watch).once()
    assert (done.verdict, done.again) == ("UNKNOWN", None)
    assert "attempt 6; the one before: no input" in desk.published[0][1].log[0]
    assert Attempts(tmp_path / "rebuilder/own.json").of(NEW) is None


def test_a_disk_that_refuses_says_nothing_of_a_release(tmp_path: Path) -> None:
    """However often: no verdict, until there is one; and the others do not wait for it."""
    full = TryAgain("the disk is full")
    desk, watch = MemoryDesk({OLD.name: [*[full] * 9, "GOOD"], NEW.name: ["GOOD"]}), Watch(most_sleeps=100)
    heard: list[Done] = []
    with pytest.raises(KeyboardInterrupt):
        rebuilder(desk, tmp_path, watch, heard.append).forever(60)
    assert [name for name, _ in desk.published] == [NEW.name, OLD.name]
    assert [one.verdict for one in heard if one.release == OLD.name] == [None] * 9 + ["GOOD"]
    assert desk.tried.count(NEW.name) == 1


def test_a_verdict_that_cannot_be_published_is_not_lost(tmp_path: Path) -> None:
    """It counts as a failure, and the release is built again later."""
    desk, watch = MemoryDesk({NEW.name: ["BAD"]}, (NEW,), refuses=[TryAgain("the branch is locked")]), Watch()
    (done,) = rebuilder(desk, tmp_path, watch).once()
    assert (done.verdict, done.reason) == (None, "the branch is locked")
    watch.now = done.again
    assert [one.verdict for one in rebuilder(desk, tmp_path, watch).once()] == ["BAD"]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"failures": {"a": {"count": -1, "reason": "", "due": "2026-01-01T00:00:00Z"}}}']
)
def test_a_damaged_memory_only_forgets_to_wait(damage: bytes, tmp_path: Path) -> None:
    """Everything is tried at once, and the file is good again."""
    desk, watch = MemoryDesk({NEW.name: ["UNKNOWN"]}, (NEW,)), Watch()
    rebuilder(desk, tmp_path, watch).once()
    (tmp_path / "rebuilder/own.json").write_bytes(damage)
    rebuilder(desk, tmp_path, watch).once()
    assert desk.tried == [NEW.name] * 2
    assert Attempts(tmp_path / "rebuilder/own.json").of(NEW).count == 1


def test_another_artifact_of_the_same_name_has_not_failed(tmp_path: Path) -> None:
    """Failures belong to the bytes that are asked for."""
    attempts = Attempts(tmp_path / "own.json")
    attempts.failed(NEW, "no input", BEGINNING, PATIENCE)
    artifact = NEW.spec.artifact.model_copy(update={"digest": "sha256:" + "e" * 64})
    other = NEW.model_copy(update={"spec": NEW.spec.model_copy(update={"artifact": artifact})})
    assert not attempts.due(NEW, BEGINNING)
    assert attempts.due(other, BEGINNING)


def test_a_log_is_bounded() -> None:
    """In lines and their length, and it says what is left out; nothing in it can move a terminal."""
    log = Log(Watch())
    log.say("\x1b[31m" + "x" * 10_000)
    for number in range(LOG_LINES * 2):
        log.say(str(number))
    assert len(log.lines) == LOG_LINES
    assert max(map(len, log.lines)) <= 400
    assert log.lines[-1] == f"{LOG_LINES + 2} further lines are left out"
    assert "\x1b" not in log.lines[0]

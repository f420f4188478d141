"""What is entered beside the steps of a plan: refused commits, changed verdicts, uses of keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from controllers import EVERYONE, Scene
from fleets import MODEL
from muster.apply import ledger
from muster.apply.decisions import Decision, Decisions
from muster.apply.key_uses import KeyUses
from muster.apply.key_watch import KeyUse
from muster.attest.keys import new_private_key, public_half
from muster.observe.storage import open_storage, writing
from scratch_repository import commit_all, write

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_storage(tmp_path / "state")
    yield engine
    engine.dispose()


def entered(engine: Engine, event: str) -> list[ledger.LedgerEvent]:
    with engine.connect() as connection:
        return [one for one in ledger.events(connection) if one.event == event]


def test_a_verdict_is_entered_when_it_changes(engine: Engine) -> None:
    """Not when it stays, nor while nothing was ever decided; a restart remembers; floats are kept as text."""

    def decide(decisions: Decisions, outcome: str) -> None:
        decisions.enter([Decision("a guardrail", outcome, {"share": 0.5})], "c" * 40, NOW)

    first = Decisions(engine)
    for outcome in ("undecided", "holds", "holds"):
        decide(first, outcome)
    for outcome in ("holds", "harm"):
        Decisions(engine).enter([Decision("a guardrail", outcome, {"share": 0.5})], "c" * 40, NOW.replace(hour=1))
    found = [(one.body["before"], one.body["outcome"]) for one in entered(engine, "decided")]
    assert found == [(None, "holds"), ("holds", "harm")]
    assert entered(engine, "decided")[0].body["record"] == {"share": "0.5"}


def test_a_commit_that_is_refused_is_entered_once(tmp_path: Path) -> None:
    """With the reason; the next valid one is entered as declared, after the last valid one."""
    scene = Scene.set(tmp_path)
    first = scene.commit_release("1.0.0", EVERYONE)
    controller = scene.controller()
    scene.tick(controller)
    write(scene.repository, {f"releases/{MODEL}/1.1.0.yaml": "kind: Release\n"})
    bad = commit_all(scene.repository, "Broken")
    for _ in range(2):
        scene.tick(controller)
    (refused,) = entered(controller.engine, "declaration-refused")
    assert refused.body["commit"] == bad
    (scene.repository / f"releases/{MODEL}/1.1.0.yaml").unlink()
    good = commit_all(scene.repository, "Mended")
    scene.tick(controller)
    declared = [(one.body["previous"], one.body["commit"]) for one in entered(controller.engine, "declared")]
    assert declared == [(None, first), (first, good)]
    controller.close()


def test_a_storage_that_refuses_keeps_no_key_from_signing(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """A halt has to be signed: the use is logged, and entered as soon as the storage takes it."""
    uses = KeyUses(engine, public_half(new_private_key()))
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE ledger RENAME TO away"))
    uses.enter(KeyUse("k", "tuf-targets", "2.targets.json", "sha256:1"), NOW)
    assert "the ledger does not take that k signs 2.targets.json" in caplog.text
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE away RENAME TO ledger"))
    uses.enter(KeyUse("k", "tuf-snapshot", "2.snapshot.json", "sha256:2"), NOW)
    assert [one.body["subject"] for one in entered(engine, "key-used")] == ["2.targets.json", "2.snapshot.json"]

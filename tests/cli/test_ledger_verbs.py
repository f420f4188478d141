"""`muster ledger`, `events`, `history --at` and `report delivery`: what a fresh clone and a state folder answer."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from controllers import START, Scene
from fleets import MODEL
from ledgers import cloned, play
from muster.apply import ledger
from muster.attest.keys import public_half
from muster.attest.ledger.in_git import REF
from muster.attest.state_keys import StateKeys
from muster.cli import exit_code_of
from muster.kinds.event_kind import EVENT_KINDS
from muster.kinds.evidence import ADMISSION
from muster.observe.storage import open_storage, writing
from scratch_repository import git


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return play(tmp_path_factory.mktemp("played"))


@pytest.fixture(scope="module")
def clone(played: Scene) -> Path:
    return cloned(played)


@pytest.fixture
def scratch(clone: Path, tmp_path: Path) -> Path:
    """A clone to spoil."""
    return Path(shutil.copytree(clone, tmp_path / "clone"))


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Any:
    def asked(*arguments: str, code: int = 0) -> Any:
        got = exit_code_of([*arguments, "-o", "json"])
        said = capsys.readouterr()
        assert got == code, said
        return json.loads(said.out) if said.out else said.err

    return asked


def minute(number: int) -> str:
    return (START + timedelta(minutes=number)).isoformat()


def test_a_clone_verifies(ask: Any, clone: Path) -> None:
    """Everything holds, and all of it is checkpointed."""
    said = ask("ledger", "verify", "--repository", str(clone))
    assert (said["holds"], said["flaws"]) == (True, [])
    assert said["events"] == said["checkpointed"] > 10
    assert ask("ledger", "verify", "--repository", str(clone), "--known", said["head"])["holds"]


def test_a_clone_without_the_ledger_says_how_to_bring_it(ask: Any, played: Scene, tmp_path: Path) -> None:
    """A plain clone does not bring the ref."""
    git(tmp_path, "clone", "-q", str(played.repository), "plain")
    said = ask("ledger", "verify", "--repository", str(tmp_path / "plain"), code=2)
    assert "git fetch origin 'refs/muster/*:refs/muster/*'" in said


def test_a_ledger_that_was_set_back_is_found_by_the_revert_commit(ask: Any, scratch: Path) -> None:
    """The trailer of the revert names an event that is gone."""
    first = git(scratch, "rev-list", "--max-parents=1", "--reverse", REF).splitlines()[1]
    git(scratch, "update-ref", REF, first)
    said = ask("ledger", "verify", "--repository", str(scratch), code=1)
    assert {flaw["reason"] for flaw in said["flaws"]} == {"LedgerTruncated"}


def test_keys_and_digests_of_the_asker_count(ask: Any, played: Scene, scratch: Path, tmp_path: Path) -> None:
    """A checkpoint by a key that the fleet never declared counts if it is given; an unknown digest is missed."""
    said = ask("ledger", "verify", "--repository", str(scratch), "--known", "sha256:" + "1" * 64, code=1)
    assert [flaw["place"] for flaw in said["flaws"]] == ["--known"]
    assert "not a digest" in ask("ledger", "verify", "--repository", str(scratch), "--known", "x", code=2)
    # As of a commit before any key was declared, with the controller's key by hand.
    git(scratch, "switch", "-q", "--orphan", "empty")
    git(scratch, "commit", "-q", "--allow-empty", "-m", "nothing")
    said = ask("ledger", "verify", "--repository", str(scratch), code=1)
    assert {flaw["reason"] for flaw in said["flaws"]} == {"CheckpointByAnotherKey"}
    (tmp_path / "key.pem").write_text(public_half(StateKeys.of(played.state).signing_key()))
    assert ask("ledger", "verify", "--repository", str(scratch), "--key", str(tmp_path / "key.pem"))["holds"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("""UPDATE ledger SET body = '{"release": "x/1.0.0", "reason": "y"}' WHERE sequence = 3""", "EventAltered"),
        ("DELETE FROM ledger WHERE sequence = 3", "EventMissing"),
        ("DELETE FROM ledger WHERE sequence > 3", "LedgerTruncated"),
        (
            """UPDATE ledger SET sequence = CASE sequence WHEN 2 THEN -3 ELSE -2 END WHERE sequence IN (2, 3);
            UPDATE ledger SET sequence = -sequence WHERE sequence < 0""",
            "EventsReordered",
        ),
    ],
)
def test_a_spoiled_state_folder_is_found_by_name(
    ask: Any, played: Scene, tmp_path: Path, change: str, reason: str
) -> None:
    """Its rows are held against what was pushed."""
    state = Path(shutil.copytree(played.state, tmp_path / "state"))
    assert ask("ledger", "verify", "--from", "state", "--state", str(state))["holds"]
    engine = open_storage(state)
    with writing(engine) as connection:
        for statement in change.split(";"):
            connection.execute(text(statement))
    engine.dispose()
    said = ask("ledger", "verify", "--from", "state", "--state", str(state), code=1)
    assert reason in {flaw["reason"] for flaw in said["flaws"]}


def test_history_answers_from_a_clone_alone(ask: Any, clone: Path, played: Scene) -> None:
    """Before, during and after the bad release: the digest, the approval, the evidence."""
    about = ("history", MODEL, "--cohort", "canary", "--repository", str(clone), "--state", str(clone / "none"))
    during = ask(*about, "--at", minute(15))
    artifact = played.release("1.1.0", {"canary": "100%"}).spec.artifact.digest
    assert during["desired"][0]["releases"] == [{"release": f"{MODEL}/1.1.0", "artifact": artifact, "share": "100%"}]
    (release,) = during["releases"]
    assert [(one["by"], one["of"], one["from"]) for one in release["approvals"]] == [("ben", "change", "clone")]
    assert [(one["type"], one["problem"]) for one in release["evidence"]] == [(ADMISSION, None)]
    assert during["suspended"] == []
    for at in (5, 60):
        told = ask(*about, "--at", minute(at))
        assert [one["release"] for row in told["desired"] for one in row["releases"]] == [f"{MODEL}/1.0.0"] * 2
    elsewhere = ask("history", "--model", MODEL, "--cohort", "fleet", "--at", minute(15), "--repository", str(clone))
    assert elsewhere["desired"][0]["releases"][0]["release"] == f"{MODEL}/1.0.0"


def test_an_approval_whose_note_is_gone_is_still_told(ask: Any, scratch: Path) -> None:
    """The controller saw it, and the ledger says so."""
    git(scratch, "update-ref", "-d", "refs/notes/muster/approvals")
    told = ask("history", MODEL, "--cohort", "canary", "--at", minute(15), "--repository", str(scratch))
    assert [(one["by"], one["from"]) for one in told["releases"][0]["approvals"]] == [("ben", "ledger")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--at", "2020-01-01", "--cohort", "canary"), "nothing was published"),
        (("--at", minute(15), "--cohort", "nobody"), "no cohort nobody"),
        (("--at", "yesterday", "--cohort", "canary"), "not a time"),
        (("--at", minute(15)), "go together"),
    ],
)
def test_a_question_without_an_answer_says_why(ask: Any, clone: Path, arguments: tuple[str, ...], words: str) -> None:
    """Another time, cohort or form."""
    code = 2 if words in ("not a time", "go together") else 1
    assert words in ask("history", MODEL, "--repository", str(clone), *arguments, code=code)


def test_a_ledger_that_is_wrong_answers_nothing(ask: Any, scratch: Path) -> None:
    """History, events and the report refuse it, and name the flaw."""
    git(scratch, "update-ref", REF, git(scratch, "rev-list", "--max-parents=1", "--reverse", REF).splitlines()[1])
    where = ("--repository", str(scratch), "--from", "clone")
    for verb in (("history", MODEL, "--at", minute(15), "--cohort", "canary"), ("events",), ("report", "delivery")):
        assert "LedgerTruncated" in ask(*verb, *where, code=1)


def test_events_are_filtered_and_say_the_same_from_clone_and_state(ask: Any, clone: Path, played: Scene) -> None:
    """By reason, by what they are about, by release, by time; the newest so many."""
    where = ("--from", "clone", "--repository", str(clone))
    everything = ask("events", *where, "--limit", "1000")
    assert everything == ask("events", "--from", "state", "--state", str(played.state), "--limit", "1000")
    assert {event["reason"] for event in everything} <= {kind.reason for kind in EVENT_KINDS.values()}
    (suspended,) = ask("events", *where, "--reason", "ReleaseSuspended")
    assert suspended["summary"].startswith(f"{MODEL}/1.1.0: ")
    (seen,) = ask("events", *where, "--about", "approval")
    assert seen["summary"].startswith("ben approved the change on")
    of = ask("events", *where, "--of", f"{MODEL}/1.1.0", "--about", "suspension", "--about", "decision")
    assert [event["reason"] for event in of] == ["VerdictChanged", "ReleaseSuspended", "SuspensionLifted"]
    assert ask("events", *where, "--since", minute(10), "--limit", "2") == everything[-2:]
    assert all(event["at"] < minute(10) for event in ask("events", *where, "--until", minute(10)))
    assert "there is no 'Nope'" in ask("events", *where, "--reason", "Nope", code=2)


def test_the_delivery_report_counts_what_happened(ask: Any, clone: Path) -> None:
    """Two deployments, one of which failed and was taken back within the tick that saw the harm."""
    said = ask(
        "report", "delivery", "--repository", str(clone), "--since", "2026-01-01", "--until", "2026-01-03", code=1
    )
    found = {measure["name"]: measure for measure in said["measures"]}
    assert [(one["release"], one["kind"], one["failed"]) for one in said["deployments"]] == [
        (f"{MODEL}/1.0.0", "code", False),
        (f"{MODEL}/1.1.0", "code", True),
    ]
    assert found["deployment frequency"]["value"] == 1.0
    assert (found["change failure rate"]["value"], found["change failure rate"]["met"]) == (50.0, False)
    assert (found["time to recovery"]["value"], found["time to recovery"]["met"]) == (0.0, True)
    assert (found["pipeline reliability"]["value"], found["pipeline reliability"]["met"]) == (100.0, True)
    assert found["lead time, configuration"]["met"] is None
    assert found["lead time, code"]["met"] is False, "the commits of this fleet are years older than its ticks"


def test_an_event_that_is_no_event_cannot_enter(tmp_path: Path) -> None:
    """A name that is not in the table is a fault of the program."""
    engine = open_storage(tmp_path)
    with writing(engine) as connection, pytest.raises(ValueError, match="is no event"):
        ledger.append(connection, "nonsense", "n", {}, datetime.now(UTC))
    engine.dispose()

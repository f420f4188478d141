"""`muster suspend` and `muster resume`: through a real server, and into the state folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from muster.apply.ledger import events
from muster.apply.suspensions import load_resumptions, load_suspensions
from muster.cli import exit_code_of
from muster.observe.status import write_status
from muster.observe.storage import writing
from sites import Site

NEW = "meter-reader/1.1.0"
BY = ("--by", "Ada <ada@fleet.example>")


@pytest.fixture
def site(module_site: Site) -> Site:
    module_site.empty()
    with writing(module_site.engine) as connection:
        write_status(connection, "releases", {NEW: {"model_hash": "a", "config_version": "b", "artifact": "c"}}, now())
        write_status(connection, "declared", {"commit": "d" * 40}, now())
    return module_site


def now() -> datetime:
    return datetime.now(UTC)


def run(site: Site, *arguments: str) -> int:
    return exit_code_of([*arguments, "--server", site.url, "--state", str(site.state)])


@pytest.mark.parametrize("way", [(), ("--offline",)], ids=["server", "state folder"])
def test_suspend_and_resume(site: Site, capsys: pytest.CaptureFixture[str], way: tuple[str, ...]) -> None:
    """The same both ways: in force, in the ledger with who and why, and gone again."""
    assert run(site, "suspend", NEW, "--why", "smoke", "--until", "2h", *BY, *way) == 0
    assert f"suspended {NEW} until " in capsys.readouterr().out
    with site.engine.connect() as connection:
        held = load_suspensions(connection)[NEW]
    assert (held.by, held.reason) == ("Ada <ada@fleet.example>", "smoke")
    assert held.until is not None
    assert abs(held.until - now() - timedelta(hours=2)) < timedelta(minutes=1)
    assert run(site, "resume", NEW, "--why", "kettle", *BY, *way) == 0
    assert "was suspended by Ada <ada@fleet.example>: smoke" in capsys.readouterr().out
    with site.engine.connect() as connection:
        assert load_suspensions(connection) == {}
        assert load_resumptions(connection) == {NEW: 0}
        recorded = [(item.event, item.body["by"], item.body["reason"]) for item in events(connection)]
    assert recorded == [(name, BY[1], why) for name, why in (("suspended", "smoke"), ("resumed", "kettle"))]


def test_for_good_as_data(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --until there is no end; who asks is whose git this is, or the user of this machine."""
    assert run(site, "suspend", NEW, "--why", "smoke", "-o", "json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["release"], said["until"], said["reason"]) == (NEW, None, "smoke")
    assert said["by"].endswith(">")


@pytest.mark.parametrize("way", [(), ("--offline",)], ids=["server", "state folder"])
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["suspend", "meter-reader/9.9.9", "--why", "w", *BY], 1, "knows no release meter-reader/9.9.9"),
        (["suspend", NEW, "--why", "w", *BY, "--until", "2020-01-01T00:00:00Z"], 1, "is past"),
        (["suspend", NEW, "--why", "w", *BY, "--until", "2026-01-01T00:00:00"], 2, "names no zone"),
        (["suspend", NEW, "--why", "w", *BY, "--until", "soon"], 2, "neither a time nor a duration"),
        (["suspend", NEW, *BY], 2, "Missing option '--why'"),
        (["resume", NEW, "--why", "w", *BY], 1, "is not suspended"),
    ],
    ids=["unknown", "past", "no zone", "no time", "no reason", "not suspended"],
)
def test_refused(
    site: Site, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str, way: tuple[str, ...]
) -> None:
    """With the reason and what would be right; nothing is recorded."""
    assert run(site, *arguments, *way) == code
    error = capsys.readouterr().err
    assert message in error
    assert "hint: " in error
    with site.engine.connect() as connection:
        assert events(connection) == ()


@pytest.mark.parametrize("way", [(), ("--offline",)], ids=["server", "state folder"])
def test_nobody_can_pass_for_a_guardrail(site: Site, capsys: pytest.CaptureFixture[str], way: tuple[str, ...]) -> None:
    """Who asks is a name and an address."""
    assert run(site, "suspend", NEW, "--why", "w", "--by", "guardrail", *way) in (1, 2)
    assert "by: " in capsys.readouterr().err


def test_the_token_is_asked_for_and_bodies_are_bounded(site: Site) -> None:
    """No token, no brake; no megabytes either."""
    body = json.dumps({"release": NEW, "by": BY[1], "why": "w"})
    assert site.ask("POST", "/v1/suspend", body=body)[0] == 401
    token = {"Authorization": f"Bearer {site.keys.operator_token()}"}
    assert site.ask("POST", "/v1/suspend", body="x" * 20_000, headers=token)[0] == 413
    assert site.ask("POST", "/v1/suspend", body="[]", headers=token)[0] == 422
    assert site.ask("POST", "/v1/resume", body=body[:-1] + ', "more": 1}', headers=token)[0] == 422
    assert site.ask("GET", "/v1/suspend", headers=token)[0] == 405
    for edge in ("0001-01-01T00:00:52+20:12", "9999-12-31T23:59:59-20:12"):
        answer = site.ask("POST", "/v1/suspend", body=body[:-1] + f', "until": "{edge}"}}', headers=token)
        assert (answer[0], "years" in answer[1]["error"]) == (422, True)


def test_nobody_answers(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The way round is named; a folder in which no controller ran is no state folder."""
    gone = ["suspend", NEW, "--why", "w", *BY, "--server", "http://127.0.0.1:1"]
    assert exit_code_of([*gone, "--state", str(site.state)]) == 2
    assert "--offline" in capsys.readouterr().err
    assert exit_code_of([*gone, "--offline", "--state", str(tmp_path)]) == 2
    assert "not the state folder" in capsys.readouterr().err

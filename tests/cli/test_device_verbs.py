"""`muster register`, `accept`, `label`, `revoke`, and how devices are listed and described: against a real server."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fleets import make_class, make_cohort, make_policy
from muster.attest.state_keys import class_token
from muster.cli import exit_code_of
from muster.kinds.canonical import canonical_json
from muster.observe.status import write_status
from muster.observe.storage import writing
from scratch_repository import commit_all, git, write
from sites import SECRET, Site, report

BY = ("--by", "Ada <ada@fleet.example>", "--why", "she knows it")


@pytest.fixture
def site(module_site: Site) -> Site:
    module_site.empty()
    return module_site


def run(site: Site, *arguments: str) -> int:
    return exit_code_of([*arguments, "--server", site.url, "--state", str(site.state)])


def ask(site: Site, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(site, *arguments, "-o", "json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_device_from_registration_to_revocation(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Expected, enrolled, labelled, revoked; each is shown, and each is an event with who and why."""
    assert run(site, "register", "cam-1", "--class", "cam-day", "--label", "site=north", *BY) == 0
    assert run(site, "get", "enrolments") == 0
    assert "cam-1\tcam-day\texpected" in capsys.readouterr().out
    assert site.enrol("cam-1")[0] == 201
    assert run(site, "label", "cam-1", "ring=canary", "site-", *BY) == 0
    assert capsys.readouterr().out == "cam-1: ring=canary\n"
    described = ask(site, capsys, "describe", "device", "cam-1")
    assert described["state"] == "enrolled"
    assert (described["setLabels"], described["ownLabels"]) == ({"ring": "canary"}, {})
    assert [one["model"] for one in described["models"]] == ["meter-reader"]
    assert run(site, "revoke", "cam-1", *BY) == 0
    capsys.readouterr()
    assert ask(site, capsys, "get", "devices") == []
    assert ask(site, capsys, "describe", "device", "cam-1")["why"] == BY[3]
    assert site.report(report(1, device_id="cam-1"), token=f"cam-1:{SECRET}")[0] == 401
    assert run(site, "events", "--about", "device") == 0
    shown = capsys.readouterr().out
    for reason in ("DeviceRegistered", "DeviceLabelled", "DeviceRevoked"):
        assert reason in shown
    assert shown.count("Ada <ada@fleet.example>") == 3


def test_a_device_that_waits_is_accepted(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """And is listed until then."""
    now = datetime.now(UTC)
    with writing(site.engine) as connection:
        write_status(connection, "enrolment", {"cam-day": {"mode": "manual"}}, now)
    token = class_token(site.keys.enrolment_token(), "cam-day", 1)
    assert site.enrol("cam-1", token=token)[0] == 202
    assert [one["deviceId"] for one in ask(site, capsys, "get", "enrolments", "--class", "cam-day")] == ["cam-1"]
    assert run(site, "accept", "cam-1", *BY) == 0
    assert capsys.readouterr().out == "accepted cam-1\n"
    assert site.enrol("cam-1", token=token)[0] == 201


def test_many_are_registered_from_a_file(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, more than a request takes; a line that is none is named."""
    file = tmp_path / "devices"
    lines = [json.dumps({"deviceId": f"cam-{number:04d}", "deviceClass": "cam-day"}) for number in range(201)]
    file.write_text("\n".join(lines) + "\n\n")
    assert run(site, "register", "--file", str(file), *BY) == 0
    assert capsys.readouterr().out == "registered 201\n"
    assert len(ask(site, capsys, "get", "enrolments")) == 201
    file.write_text(lines[0] + "\n{\n")
    assert run(site, "register", "--file", str(file), *BY) == 2
    assert f"{file}:2: not JSON" in capsys.readouterr().err


def test_devices_by_label_in_pages(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """`--limit` and `--after` are the next page's place; labels have to fit, all of them."""
    for number in range(5):
        site.enrol(f"cam-{number}", labels={"site": "north" if number else "south", "ring": "main"})
    north = ("get", "devices", "--label", "site=north", "--label", "ring=main")
    first = [one["deviceId"] for one in ask(site, capsys, *north, "--limit", "2")]
    then = [one["deviceId"] for one in ask(site, capsys, *north, "--after", first[-1])]
    assert (first, then) == (["cam-1", "cam-2"], ["cam-3", "cam-4"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["register", "cam-1", *BY], 2, "give either ID and --class, or --file"),
        (["register", "cam-1", "--class", "cam-day", "--label", "device/serial=1", *BY], 1, "only the device itself"),
        (["accept", "cam-1", *BY], 1, "no device cam-1 waits"),
        (["revoke", "cam-1", *BY], 1, "device cam-1 is not enrolled"),
        (["revoke", "../status", *BY], 1, "not found"),
        (["label", "cam-1", "site", *BY], 2, "not a change of a label"),
        (["label", "cam-1", "site=a", "site-", *BY], 2, "one of the same twice"),
        (["label", "cam-1", "site=a", *BY], 1, "device cam-1 is not enrolled"),
        (["label", "cam-1", "site=a"], 2, "Missing option '--why'"),
        (["describe", "device", "cam-1"], 1, "nothing is known of device cam-1"),
        (["get", "enrolments", "--label", "site=a"], 2, "--label chooses devices"),
    ],
)
def test_refused(site: Site, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str) -> None:
    """With what is wrong; nothing is recorded."""
    assert run(site, *arguments) == code
    assert message in capsys.readouterr().err


def test_a_class_token_is_written_for_its_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Into a new private file, never onto a terminal; only for a class that declares how it enrols."""
    repository, state = tmp_path / "fleet", tmp_path / "state"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    plain = make_class("cam-lowlight", may_be_empty=True).model_dump(mode="json", exclude_none=True)
    closed = make_class("cam-day", may_be_empty=True).model_dump(mode="json", exclude_none=True)
    closed["spec"]["enrolment"] = {"mode": "manual", "tokenGeneration": 3}
    cohort = make_cohort("fleet", 1).model_dump(mode="json", exclude_none=True)
    policy = make_policy().model_dump(mode="json", exclude_none=True)
    files = {
        "devices/classes/cam-day.yaml": closed,
        "devices/classes/cam-lowlight.yaml": plain,
        "devices/cohorts/fleet.yaml": cohort,
        "policies/default.yaml": policy,
    }
    write(repository, {path: canonical_json(value) for path, value in files.items()})
    commit_all(repository, "A fleet")
    assert exit_code_of(["keys", "init", "--state", str(state), "--repository", str(repository)]) == 0
    out = tmp_path / "token"
    asked = ["keys", "class-token", "--state", str(state), "--repository", str(repository), "--out", str(out)]
    assert exit_code_of([*asked, "cam-day"]) == 0
    token = (state / "keys" / "enrolment-token").read_text().strip()
    assert out.read_text().strip() == class_token(token, "cam-day", 3)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.read_text().strip() not in capsys.readouterr().out
    for name, message in (
        ("cam-day", "is there already"),
        ("cam-lowlight", "declares no enrolment"),
        ("x", "not decl"),
    ):
        assert exit_code_of([*asked, name]) == 1
        assert message in capsys.readouterr().err

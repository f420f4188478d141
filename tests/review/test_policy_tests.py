"""Policy tests: this repository's own hold, and the runner says where a case is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from muster.cli import exit_code_of
from scratch_repository import commit_all, git, repository_of, write

ROOT = Path(__file__).resolve().parents[2]
CASES = sorted((ROOT / "policies" / "tests").glob("*.yaml"))

# Whoever widens 1.2.0 needs evidence; the head's line is the tenth.
CASE = """\
apiVersion: muster/v1
kind: PolicyTest
metadata:
  name: case
spec:
  at: "2026-03-01T09:00:00Z"
  author: mara-fleet-example
  head:
    - path: releases/meter-reader/1.2.0.yaml
      edits: [{find: "canary: 0%", replace: "canary: 5%"}]
  blocked: true
  expect:
    - {rule: gate/accuracy, outcome: fail, contains: no evidence}
"""
FILE = "policies/tests/case.yaml"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A repository with this one's fleet, and no cases yet."""
    files: dict[str, str | bytes] = {
        str(path.relative_to(ROOT)): path.read_bytes()
        for name in ("releases", "devices", "policies")
        for path in (ROOT / name).rglob("*.yaml")
        if path not in CASES
    }
    release = files["releases/meter-reader/1.2.0.yaml"]
    assert isinstance(release, bytes)
    files["releases/meter-reader/1.2.0.yaml"] = re.sub(rb"(canary|fleet): .*", rb"\1: 0%", release)
    repository_of(tmp_path / "fleet", files)
    return tmp_path / "fleet"


@pytest.fixture
def play(fleet: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Put the case into the work tree and play it: the exit code, and the complaints as `line:column: message`."""

    def run(text: str, *options: str) -> tuple[int, list[str]]:
        write(fleet, {FILE: text})
        code = exit_code_of(["policy", "test", str(fleet), "-o", "json", *options])
        report = json.loads(capsys.readouterr().out)
        complaints = [complaint for case in report["cases"] for complaint in case["complaints"]]
        assert report["ok"] == (code == 0)
        assert {complaint["file"] for complaint in complaints} <= {FILE}
        assert all(complaint["hint"] for complaint in complaints)
        return code, [f"{one['line']}:{one['column']}: {one['message']}" for one in complaints]

    return run


def test_the_policies_of_this_repository_hold_their_cases(capsys):
    """Every case of policies/tests comes out as it says."""
    assert exit_code_of(["policy", "test", str(ROOT), "-o", "json"]) == 0, capsys.readouterr().out
    report = json.loads(capsys.readouterr().out)
    assert [case["file"] for case in report["cases"]] == [str(path.relative_to(ROOT)) for path in CASES]
    assert [case["name"] for case in report["cases"]] == [path.stem for path in CASES]


def test_every_case_would_notice(fleet, capsys):
    """Each case of this repository fails once it expects the opposite: none holds whatever the policies say."""
    for path in CASES:
        text = path.read_text()
        turned = text.replace("\n  blocked: true\n", "\n  blocked: false\n")
        if turned == text:
            turned = text.replace("\n  blocked: false\n", "\n  blocked: true\n")
        assert turned != text, path
        write(fleet, {f"policies/tests/{path.name}": turned, **_of_program(text)})
    commit_all(fleet)
    assert exit_code_of(["policy", "test", str(fleet), "--committed", "-o", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [case["name"] for case in report["cases"] if case["ok"]] == []
    for case in report["cases"]:
        (complaint,) = case["complaints"]
        assert complaint["message"].startswith("expected "), complaint


def _of_program(text: str) -> dict[str, bytes]:
    """The file of the program that the case changes, if any."""
    path = "controller/muster/agent/download.py"
    return {path: (ROOT / path).read_bytes()} if path in text else {}


def test_a_case_that_holds(play):
    """What comes out as expected has no complaint."""
    assert play(CASE) == (0, [])


def test_a_base_that_is_so_already(play):
    """What the base of a case asks for may stand there already: a case does not depend on where a rollout is."""
    for percent in ("0%", "5%"):
        base = f"""  base:
    - path: releases/meter-reader/1.2.0.yaml
      rollout: {{canary: "{percent}", fleet: "0%"}}
  head:
    - path: releases/meter-reader/1.2.0.yaml
      rollout: {{canary: "25%", fleet: "0%"}}
  blocked:"""
        assert play(re.sub(r"  head:.*?  blocked:", base, CASE, flags=re.DOTALL)) == (0, [])


def test_a_wrong_expectation_fails(play):
    """It is named at its line, with what the policies said instead."""
    code, complaints = play(CASE.replace("outcome: fail", "outcome: pass"))
    assert code == 1
    assert complaints == ["13:7: no verdict gate/accuracy pass that says 'no evidence'"]
    code, complaints = play(CASE.replace("gate/accuracy", "gate/nothing-of-the-sort"))
    assert code == 1
    assert complaints == ["13:7: no verdict gate/nothing-of-the-sort fail that says 'no evidence'"]


def test_a_wrong_end_fails(play):
    """Blocked or not is compared as well, and what blocks is named."""
    code, complaints = play(CASE.replace("blocked: true", "blocked: false"))
    assert code == 1
    (complaint,) = complaints
    assert complaint.startswith("11:12: expected not blocked, found blocked: ")
    assert "gate/accuracy of meter-reader/1.2.0" in complaint


FIND = 'find: "canary: 0%"'
UNPLAYABLE = {
    "an edit of what does not stand there": (
        (FIND, 'find: "no such text"'),
        "10:22: releases/meter-reader/1.2.0.yaml does not hold 'no such text'",
    ),
    "an edit of a file that is not there": (
        ("releases/meter-reader/1.2.0.yaml", "releases/meter-reader/9.9.9.yaml"),
        "9:7: releases/meter-reader/9.9.9.yaml is not there",
    ),
    "a copy of a file that is not there": (
        ("      edits:", "      copyOf: README.md\n      edits:"),
        "9:7: README.md is not there",
    ),
    "both a text and edits": (
        ("      edits:", "      text: hello\n      edits:"),
        "9:7: releases/meter-reader/1.2.0.yaml: one of text, delete and what becomes of a file",
    ),
    "neither": (
        (f'      edits: [{{{FIND}, replace: "canary: 5%"}}]\n', ""),
        "9:7: releases/meter-reader/1.2.0.yaml: one of text, delete and what becomes of a file",
    ),
    "a rollout that is no percentage": (
        ("      edits:", "      rollout: {canary: a lot}\n      edits:"),
        "9:7: not a percentage",
    ),
    "a rollout of what is no release": (
        (
            f'releases/meter-reader/1.2.0.yaml\n      edits: [{{{FIND}, replace: "canary: 5%"}}]',
            'policies/default.yaml\n      rollout: {canary: "5%"}',
        ),
        "9:7: the file has no spec.rollout.cohorts",
    ),
    "a head that changes nothing": (("canary: 5%", "canary: 0%"), "9:5: nothing would change"),
    "evidence about a release that is not declared": (
        (
            "  blocked:",
            "  statements: [{release: meter-reader/9.9.9, predicateType: a, predicate: {b: c}}]\n  blocked:",
        ),
        "11:26: meter-reader/9.9.9 is not declared in the case",
    ),
    "a base that does not load": (
        ("  head:", "  base:\n    - {path: devices/cohorts/fleet.yaml, delete: true}\n  head:"),
        "9:5: the base of the case does not pass `muster check`",
    ),
    "a path out of the tree": (
        ("path: releases/meter-reader/1.2.0.yaml", "path: ../x"),
        "9:7: not a path inside a tree",
    ),
    "a path that git would refuse": (
        (f'1.2.0.yaml\n      edits: [{{{FIND}, replace: "canary: 5%"}}]', "../../x\n      text: hello"),
        "9:5: not a path inside a tree",
    ),
}


@pytest.mark.parametrize("name", UNPLAYABLE)
def test_a_case_that_cannot_be_played_says_where(play, name):
    """One complaint, at what is to blame; a case that cannot be played has failed."""
    (old, new), expected = UNPLAYABLE[name]
    assert old in CASE
    code, complaints = play(CASE.replace(old, new))
    assert code == 1
    (complaint,) = complaints
    assert complaint.startswith(expected)


MALFORMED = {
    "no YAML": (CASE.replace("  author:", "\tauthor:"), "7:"),
    "an unknown field": (CASE.replace("  author:", "  autor: x\n  author:"), '7:3: unknown field "spec.autor"'),
    "a day that there is not": (CASE.replace("2026-03-01", "2026-02-30"), "6:7: spec.at: no such time"),
    "evidence with a float": (
        CASE.replace(
            "  blocked:", "  statements: [{release: a, predicateType: b, predicate: {c: [{d: .nan}]}}]\n  blocked:"
        ),
        "11:58: spec.statements[0].predicate: statements hold no floats",
    ),
    "another name than its file's": (
        CASE.replace("name: case", "name: another"),
        "4:9: the file is not policies/tests/another.yaml",
    ),
    "an outcome that there is not": (CASE.replace("outcome: fail", "outcome: bad"), "13:38: spec.expect[0].outcome"),
    "evidence without a type": (
        CASE.replace("  blocked:", "  statements: [{release: a, predicate: {b: c}}]\n  blocked:"),
        "11:16: spec.statements[0].predicateType is missing",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_file_that_is_no_case_says_where(play, name):
    """Its complaints stand at their lines; the other cases are played all the same."""
    text, expected = MALFORMED[name]
    code, complaints = play(text)
    assert code == 1
    (complaint,) = complaints
    assert complaint.startswith(expected)


def test_other_cases_are_played_beside_a_broken_one(fleet, capsys):
    """In text, every case has its line, and a broken one its complaints below, with places."""
    write(
        fleet,
        {FILE: CASE, "policies/tests/broken.yaml": "apiVersion: muster/v1\n", "policies/tests/worse.yaml": b"\xff"},
    )
    assert exit_code_of(["policy", "test", str(fleet)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "FAIL policies/tests/broken.yaml (policies/tests/broken.yaml)" in lines
    assert f"ok   case ({FILE})" in lines
    assert any(line.startswith("policies/tests/broken.yaml:1:1: error: ") for line in lines)
    assert any(line.startswith("policies/tests/worse.yaml:1:1: error: byte 0xff is not UTF-8") for line in lines)
    assert lines[-1] == "3 cases, 2 failed"


def test_a_fleet_that_does_not_load_is_said_once(fleet, capsys):
    """No case can say anything about a fleet that is none; the place of what is wrong is named."""
    write(fleet, {FILE: CASE, "devices/cohorts/canary.yaml": "apiVersion: muster/v1\nkind: Cohort\n"})
    assert exit_code_of(["policy", "test", str(fleet)]) == 1
    error = capsys.readouterr().err
    assert "the fleet that cases begin from does not pass `muster check`: devices/cohorts/canary.yaml:1:1:" in error


def test_a_link_is_no_case(fleet, capsys):
    """Nothing is read through a symbolic link."""
    write(fleet, {FILE: CASE})
    (fleet / "policies" / "tests" / "link.yaml").symlink_to("case.yaml")
    commit_all(fleet)
    assert exit_code_of(["policy", "test", str(fleet), "--committed"]) == 1
    assert "policies/tests/link.yaml:1:1: error: not a regular file" in capsys.readouterr().out


def test_no_cases_are_no_success(fleet, tmp_path, capsys):
    """Where nothing was played, nothing came out as expected; where no repository is, nothing can be played."""
    assert exit_code_of(["policy", "test", str(fleet)]) == 2
    assert "there are no cases in policies/tests/" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert exit_code_of(["policy", "test", str(tmp_path / "empty")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_work_tree_or_what_is_committed(fleet, play):
    """A policy that was just edited is tested before it is committed; --committed asks HEAD."""
    write(fleet, {FILE: CASE})
    commit_all(fleet)
    policy = fleet / "policies" / "default.yaml"
    policy.write_text(policy.read_text().replace("metric: accuracy", "metric: robustness"))
    assert play(CASE, "--committed") == (0, [])
    code, complaints = play(CASE)
    assert code == 1
    assert complaints == ["13:7: no verdict gate/accuracy fail that says 'no evidence'"]


def test_evidence_of_a_case_is_believed_only_from_a_trusted_key(play):
    """The same statement passes its gate, or fails it, by who signed it."""
    statement = """\
  statements:
    - release: meter-reader/1.2.0
      predicateType: muster:rebuild/v1
      signedBy: trusted
      predicate:
        {release: meter-reader/1.2.0, rebuiltAt: "2026-02-28T09:00:00Z",
         level: L2, verdict: GOOD, cpu: a, fromTable: pinned}
  blocked:"""
    case = CASE.replace("  blocked:", statement).replace(
        "gate/accuracy, outcome: fail, contains: no evidence", "gate/reproducibility, outcome: pass"
    )
    assert play(case) == (0, [])
    code, complaints = play(case.replace("trusted", "stranger"))
    assert code == 1
    assert complaints == ["20:7: no verdict gate/reproducibility pass"]


def test_no_trace_is_left(fleet, play):
    """No object, ref or file of the repository differs after a run, work tree and index included."""
    write(fleet, {FILE: CASE})
    policy = fleet / "policies" / "default.yaml"
    policy.write_text(policy.read_text() + "# edited\n")
    before = _everything(fleet)
    assert play(CASE) == (0, [])
    assert _everything(fleet) == before
    assert git(fleet, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


def _everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_hostile_text_is_shown_escaped(play):
    """What a case holds reaches the terminal without its control characters."""
    hostile = CASE.replace(FIND, 'find: "\\e[2J"')
    code, complaints = play(hostile)
    assert code == 1
    assert all("\x1b" not in complaint for complaint in complaints)

"""Transitions of real repositories: since when git says a percentage, what to go back to, and freezes in files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from muster.check.verdict import Verdict
from muster.kinds.field_state import FieldState
from muster.source.load import Loader
from reviews import NOW, Proposal
from scratch_fleet import fleet_files, pin, release_yaml
from scratch_repository import git, write

REST = {"canary": "0%", "fleet": "0%"}
FREEZE = """\
apiVersion: muster/v1
kind: Freeze
metadata:
  name: monday
spec:
  effect: deny
  {when}
  timeZone: Europe/Berlin
  duration: 10h
  reason: nobody is on call
"""


def _declared(version: str, canary: str = "0%", salt: str | None = None, tier: str = "production") -> str:
    text = release_yaml(version, cohorts={"canary": canary, "fleet": "0%"}).replace("tier: research", f"tier: {tier}")
    return text + (f"    salt: {salt}\n" if salt else "")


def _fleet(**production: str) -> dict[str, str | bytes]:
    """1.0.0 everywhere, with a tier `production` of two steps."""
    files = fleet_files()
    policy = str(files["policies/default.yaml"])
    tier = policy[policy.index("    - name: research") :].replace("name: research", "name: production")
    tier = tier.replace('steps: ["100%"]', 'steps: ["5%", "100%"]').replace("soak: 1m", "soak: 1d")
    more = "".join(f"      {field}: {value}\n" for field, value in production.items())
    everywhere = release_yaml("1.0.0").replace("tier: research", "tier: production")
    return {**files, "policies/default.yaml": policy + tier + more, "releases/reader/1.0.0.yaml": everywhere}


def _said(proposal: Proposal, rule: str, controller: FieldState | None = None) -> list[Verdict]:
    judgement = proposal.review(controller=controller)
    return [verdict for verdict in judgement.verdicts if verdict.rule == f"transition/{rule}"]


def test_git_says_since_when_a_percentage_stands(tmp_path: Path) -> None:
    """Where no controller was asked: since the commit that brought it to the base."""
    proposal = Proposal(tmp_path / "fleet", {**_fleet(), "releases/reader/1.1.0.yaml": _declared("1.1.0", "5%")})
    proposal.change({"releases/reader/1.1.0.yaml": _declared("1.1.0", "100%")})

    (soak,) = _said(proposal, "soak")

    assert soak.outcome == "pass"
    assert "declared in git since 2023-11-14 22:13 UTC" in soak.message
    assert [verdict.outcome for verdict in _said(proposal, "step")] == ["pass"]


def test_a_step_may_not_be_skipped(tmp_path: Path) -> None:
    """At the line that says so."""
    proposal = Proposal(tmp_path / "fleet", {**_fleet(), "releases/reader/1.1.0.yaml": _declared("1.1.0")})
    proposal.change({"releases/reader/1.1.0.yaml": _declared("1.1.0", "100%")})

    (step,) = _said(proposal, "step")

    assert (step.outcome, step.hint) == ("fail", "write canary: 5%")
    assert step.place is not None
    assert step.place.line > 1


@pytest.mark.parametrize("resting", [0, 40])
def test_releases_at_rest_are_a_way_back(tmp_path: Path, resting: int) -> None:
    """They are read as far as the tier asks for, and not further; drafts of research between them are none."""
    drafts = {f"releases/reader/0.{n}.5.yaml": _declared(f"0.{n}.5", tier="research") for n in range(resting)}
    older = {f"releases/reader/0.{n}.0.yaml": _declared(f"0.{n}.0") for n in range(max(resting, 2))}
    base = {**_fleet(deployable="2"), **older, **drafts, "releases/reader/1.1.0.yaml": _declared("1.1.0")}
    proposal = Proposal(tmp_path / "fleet", base)
    proposal.change({"releases/reader/1.1.0.yaml": _declared("1.1.0", "5%")})
    loader = Loader()

    judgement = proposal.review(loader, FieldState(NOW, stored=frozenset({pin(13)})))

    found = [verdict.subject for verdict in judgement.verdicts if verdict.rule == "transition/deployable"]
    assert found == ["reader/1.0.0", f"reader/0.{max(resting, 2) - 1}.0"]
    assert loader.parsed <= 14


def test_a_release_long_past_may_be_removed_and_the_last_ones_not(tmp_path: Path) -> None:
    """However many rest between."""
    older = {f"releases/reader/0.{n}.0.yaml": _declared(f"0.{n}.0") for n in range(9)}
    gone = {}
    for version in ("0.0.0", "0.8.0"):
        proposal = Proposal(tmp_path / version, {**_fleet(deployable="2"), **older})
        proposal.change({f"releases/reader/{version}.yaml": None})
        gone[version] = [verdict.outcome for verdict in _said(proposal, "deployable")]

    assert gone == {"0.0.0": [], "0.8.0": ["fail"]}


def test_a_freeze_in_a_file_blocks_with_its_moment(tmp_path: Path) -> None:
    """Local time of the freeze; now is a Monday, noon in UTC."""
    freeze = FREEZE.format(when='cron: "0 8 * * MON"')
    base = {**_fleet(), "policies/freezes/monday.yaml": freeze, "releases/reader/1.1.0.yaml": _declared("1.1.0")}
    proposal = Proposal(tmp_path / "fleet", base)
    proposal.change({"releases/reader/1.1.0.yaml": _declared("1.1.0", "5%")})

    (found,) = _said(proposal, "freeze")

    assert (found.outcome, found.lifts_at) == ("fail", "2026-03-02T17:00:00+00:00")


def test_a_freeze_that_cannot_be_read_does_not_load(tmp_path: Path) -> None:
    """The pull request that brings it is refused, at the line of its schedule."""
    proposal = Proposal(tmp_path / "fleet", _fleet())
    proposal.change({"policies/freezes/monday.yaml": FREEZE.format(when='cron: "0 25 * * MON"')})

    judgement = proposal.review()

    (found,) = [verdict for verdict in judgement.verdicts if "hour" in verdict.message]
    assert found.blocks
    assert str(found.place).startswith("policies/freezes/monday.yaml:7:")


def _commit_on(proposal: Proposal, text: str, day: int) -> None:
    """Commit 1.1.0 to main on that day of February."""
    write(proposal.folder, {"releases/reader/1.1.0.yaml": text})
    git(proposal.folder, "add", "-A")
    identity = {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org", "GIT_CONFIG_GLOBAL": os.devnull}
    date = {"GIT_COMMITTER_DATE": f"2026-02-{day:02}T12:00:00Z", "PATH": os.environ["PATH"]}
    command = ["git", "commit", "-q", "--author", "Ada <ada@example.org>", "-m", "change"]
    subprocess.run(command, cwd=proposal.folder, env=identity | date, check=True)


def test_other_devices_have_not_soaked(tmp_path: Path) -> None:
    """A new salt at the same percentage counts from its own commit; an edit beside it changes nothing."""
    proposal = Proposal(tmp_path / "fleet", {**_fleet(), "releases/reader/1.1.0.yaml": _declared("1.1.0", "5%")})
    git(proposal.folder, "checkout", "-q", "main")
    salted = _declared("1.1.0", "5%", salt="sticky/other")
    _commit_on(proposal, salted, 3)
    _commit_on(proposal, salted + "# reviewed\n", 5)
    git(proposal.folder, "checkout", "-q", "-b", "wider")
    git(proposal.folder, "branch", "-q", "-f", "topic", "wider")
    proposal.change({"releases/reader/1.1.0.yaml": _declared("1.1.0", "100%", salt="sticky/other")})
    git(proposal.folder, "branch", "-q", "-f", "topic", "wider")

    (soak,) = _said(proposal, "soak")

    assert "declared in git since 2026-02-03 12:00 UTC" in soak.message


def test_every_cohort_of_a_wider_release_has_its_time(tmp_path: Path) -> None:
    """The canary, too, where only the fleet gets more: the fleet waits for its soak."""
    proposal = Proposal(tmp_path / "fleet", {**_fleet(), "releases/reader/1.1.0.yaml": _declared("1.1.0", "5%")})
    wider = _declared("1.1.0", "5%").replace('fleet: "0%"', 'fleet: "5%"')
    proposal.change({"releases/reader/1.1.0.yaml": wider})

    (soak,) = _said(proposal, "soak")

    assert (soak.outcome, soak.message.split()[0]) == ("pass", "canary")

"""The story of one release through pull requests: refused as a draft, completed, canary, widened, weakened, frozen.

Played on a scratch repository with this repository's own fleet and policies. The transcripts are golden: run with
`MUSTER_WRITE_GOLDEN=1` to write them anew, and read the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evidences import evidence_files
from muster.attest.keys import new_private_key, public_half
from muster.check.judgement import Judgement
from muster.kinds.field_state import FieldState, GuardrailFact, Step
from muster.kinds.fleet import Fleet
from muster.kinds.pull_request import Approval, ProposedCommit, PullRequest
from muster.review.reports import REPORTS
from muster.review.review import review
from muster.source.git import Repository
from muster.source.load import Loader
from scratch_repository import commit_all, git, repository_of, write

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).with_name("gate_story.txt")
COMMENT = Path(__file__).with_name("gate_story.md")
NEW = "releases/meter-reader/1.2.0.yaml"
KEY_FILE = """\
apiVersion: muster/v1
kind: SigningKey
metadata:
  name: lab
spec:
  uses: [evidence]
  publicKey: |
"""
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
WHY = "Frames are scaled, no longer stretched.\n\nDiagram-Impact: none: the same boxes, another normalization\n"
FREEZE = """\
apiVersion: muster/v1
kind: Freeze
metadata:
  name: quarter-end
spec:
  effect: deny
  cron: "0 0 30 3 *"
  timeZone: Europe/Berlin
  duration: 2d
  overrideOwners: [ruth-fleet-example]
  reason: Bills are sent; nobody has time to look at readings.
"""


@dataclass
class Story:
    """A repository, a clock, and what the controller would say of its fleet."""

    repository: Repository
    folder: Path
    key: bytes
    now: datetime = START
    controller: FieldState = field(default_factory=lambda: FieldState(START))
    lines: list[str] = field(default_factory=list)
    loader: Loader = field(default_factory=Loader)

    @property
    def main(self) -> Fleet:
        """What main declares."""
        return self.loader.commit(self.repository, self.repository.resolve("main")).fleet_or_refuse("main")

    def propose(
        self, title: str, files: Mapping[str, str | bytes], *, approved_by: tuple[str, ...] = (), body: str = ""
    ) -> Judgement:
        """Open a pull request by mara on top of main, and write down what becomes of it."""
        git(self.folder, "checkout", "-q", "-B", "topic", "main")
        write(self.folder, files)
        head = commit_all(self.folder, title)
        request = PullRequest(
            base=self.repository.resolve("main"),
            head=head,
            author="mara-fleet-example",
            title=title,
            body=body,
            approvals=tuple(Approval(login, head, self.now) for login in approved_by),
            commits=(ProposedCommit(head, "mara-fleet-example"),),
            forge="story",
        )
        judgement = review(self.repository, request, self.now, self.controller, self.loader)
        self._write(title, judgement)
        return judgement

    def evidence(self, new: str, old: str) -> dict[str, bytes]:
        """Good evidence about a release of the topic, beside the one that it supersedes."""
        fleet = self.loader.commit(self.repository, self.repository.resolve("topic")).fleet_or_refuse("the topic")
        releases = [release for name in (new, old) if (release := fleet.release(name))]
        return evidence_files(releases[0], releases[1], self.key, self.now)

    def merge(self, judgement: Judgement) -> None:
        """Merge what passed, and let the controller publish it."""
        assert judgement.outcome == "pass", self.lines[-12:]
        git(self.folder, "checkout", "-q", "main")
        git(self.folder, "merge", "-q", "--ff-only", "topic")
        self.lines.append("merged")
        fleet = self.main
        steps = dict(self.controller.steps)
        for release in fleet.releases:
            for cohort, ppm in release.spec.rollout.cohorts.items():
                if steps.get((release.name, cohort), Step(-1, self.now)).ppm != ppm:
                    steps[release.name, cohort] = Step(ppm, self.now)
        self.controller = replace(
            self.controller,
            steps=steps,
            stored=frozenset(release.spec.artifact.digest for release in fleet.releases),
            guardrails={release.name: self._holding(fleet, release.name) for release in fleet.releases},
            devices={
                (found.metadata.name, cohort.metadata.name): 100
                for found in fleet.device_classes
                for cohort in fleet.cohorts
            },
        )

    def _holding(self, fleet: Fleet, name: str) -> tuple[GuardrailFact, ...]:
        release = fleet.release(name)
        tier = fleet.tier(release) if release else None
        return tuple(
            GuardrailFact(runtime.device_class, guardrail.name, "no-worse", "0 of 5 devices that tried it failed")
            for runtime in (release.spec.runtimes if release else ())
            for guardrail in (tier.guardrails if tier else ())
        )

    def later(self, **passed: float) -> None:
        """Let time pass."""
        self.now += timedelta(**passed)
        self.controller = replace(self.controller, at=self.now)

    def _write(self, title: str, judgement: Judgement) -> None:
        self.lines += ["", f"# {self.now:%b %d %H:%M} {title}", REPORTS["text"](judgement).splitlines()[0]]
        said: dict[str, int] = {}
        for verdict in judgement.verdicts:
            if verdict.outcome == "pass" and verdict.section != "gate" and "skip" not in verdict.message:
                continue
            said[verdict.section] = said.get(verdict.section, 0) + (verdict.outcome == "pass")
            if verdict.outcome != "pass" or verdict.section == "transition":
                self.lines.append(
                    f"  {verdict.outcome} {verdict.rule} {verdict.gate or ''}: {verdict.message}".replace(" :", ":")
                )
                self.lines += [f"    hint: {verdict.hint}"] if verdict.hint else []


def _shares(text: str, canary: str, fleet: str = "0%") -> str:
    return re.sub(r"canary: .*\n +fleet: .*\n", f"canary: {canary}\n      fleet: {fleet}\n", text)


def _tree() -> dict[str, str | bytes]:
    names = ["releases", "devices", "policies", "docs", "builders", "schemas"]
    paths = [path for name in names for path in sorted((ROOT / name).rglob("*")) if path.is_file()]
    return {str(path.relative_to(ROOT)): path.read_bytes() for path in paths if "__pycache__" not in path.parts}


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """The example fleet before 1.2.0, with a key that it trusts for evidence."""
    key = new_private_key()
    files = _tree()
    del files[NEW]
    pem = "".join(f"    {line}\n" for line in public_half(key).splitlines())
    files["policies/keys/lab.yaml"] = f"{KEY_FILE}{pem}"
    repository = repository_of(tmp_path / "fleet", files)
    return Story(repository, tmp_path / "fleet", key)


def test_one_release_through_pull_requests(story: Story) -> None:
    """Each pull request ends as its reviewers need it to, and the transcript says why."""
    text = (ROOT / NEW).read_text()
    approved = ("viktor-fleet-example", "jonas-fleet-example")
    draft = _shares(text, "0%")

    assert story.propose("1.2.0, a draft without evidence", {NEW: draft}, approved_by=approved).outcome == "blocked"

    files = {NEW: draft, **story.evidence("meter-reader/1.2.0", "meter-reader/1.1.0")}
    story.merge(story.propose("1.2.0, measured", files, approved_by=(*approved, "ines-fleet-example"), body=WHY))

    story.later(hours=1)
    assert story.propose("canary 5 %, nobody approved", {NEW: _shares(text, "5%")}).outcome == "blocked"
    story.merge(story.propose("canary 5 %", {NEW: _shares(text, "5%")}, approved_by=approved))

    story.later(minutes=20)
    assert (
        story.propose("canary 25 %, too early", {NEW: _shares(text, "25%")}, approved_by=approved).outcome == "blocked"
    )
    story.later(minutes=41)
    assert (
        story.propose("canary 100 %, a step skipped", {NEW: _shares(text, "100%")}, approved_by=approved).outcome
        == "blocked"
    )
    widened = story.propose("canary 25 %", {NEW: _shares(text, "25%")}, approved_by=approved)
    comment = REPORTS["markdown"](widened)
    story.merge(widened)

    story.later(hours=2)
    policy = (ROOT / "policies/default.yaml").read_text().replace('threshold: "0.97"', 'threshold: "0.5"', 1)
    loosened = {NEW: _shares(text, "50%"), "policies/default.yaml": policy}
    assert story.propose("canary 50 %, and a threshold", loosened, approved_by=approved).outcome == "blocked"

    freeze = {"policies/freezes/quarter-end.yaml": FREEZE}
    story.merge(story.propose("freeze the end of the quarter", freeze, approved_by=("ruth-fleet-example",)))
    story.now = datetime(2026, 3, 30, 9, tzinfo=UTC)
    story.later(hours=0)
    assert story.propose("canary 50 %", {NEW: _shares(text, "50%")}, approved_by=approved).outcome == "blocked"
    story.merge(story.propose("take 1.2.0 back", {NEW: _shares(text, "0%")}, approved_by=approved))

    transcript = re.sub(r"\b[0-9a-f]{12}\b", "<commit>", "\n".join(story.lines).lstrip() + "\n")
    comment = re.sub(r"\b[0-9a-f]{12}\b", "<commit>", comment)
    if os.environ.get("MUSTER_WRITE_GOLDEN"):
        GOLDEN.write_text(transcript)
        COMMENT.write_text(comment)
    assert GOLDEN.read_text() == transcript
    assert COMMENT.read_text() == comment

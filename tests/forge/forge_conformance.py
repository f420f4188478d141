"""What every forge driver must do. A driver's test file gives a factory, and inherits these tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from muster.forge.forge import LONGEST_DESCRIPTION, MARKER, Annotation, CheckRun, CommitStatus, Forge, Proposed
from muster.kinds.errors import MusterError, Unusable

AUTHOR = "ada"
REVIEWERS = ("ben", "cyd")
TITLE = "Promote meter-reader 1.2.0"
BODY = "Diagram-Impact: none: only a percentage"


class Site(Protocol):
    """A place with one pull request by `AUTHOR` of two commits, titled `TITLE`, whose text holds `BODY`."""

    forge: Forge
    reference: str

    def heads(self) -> tuple[str, str]:
        """Base and head, as they are now."""

    def approve(self, person: str) -> None:
        """Somebody approves the head."""

    def withdraw(self, person: str) -> None:
        """The same person takes it back."""

    def push(self) -> None:
        """The author adds a commit."""

    def comments(self) -> list[str]:
        """Comments of ours on the pull request."""

    def checks(self) -> dict[str, tuple[str, str]]:
        """What is shown at the head: name -> (conclusion, title)."""

    def add_branch(self, branch: str) -> None:
        """A branch with one commit beyond the base, there for `propose`."""

    def statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        """What is shown on a commit: context -> (state, description)."""


class ForgeConformance:
    """Inherit, and give `make_site`."""

    def make_site(self, folder: Path) -> Site:
        raise NotImplementedError

    @pytest.fixture
    def site(self, tmp_path: Path) -> Site:
        return self.make_site(tmp_path)

    def test_reads_the_change(self, site: Site) -> None:
        """Base, head, author, title, text and commits are those of the change; the head is the last commit."""
        base, head = site.heads()
        request = site.forge.read(site.reference)
        assert (base, head) == (request.base, request.head)
        assert request.author == AUTHOR
        assert request.title == TITLE
        assert BODY in request.body.splitlines()
        assert len(request.commits) == 2
        assert request.commits[-1].commit == head
        assert {commit.author for commit in request.commits} == {AUTHOR}
        assert request.forge == site.forge.name

    def test_no_approval_is_no_approval(self, site: Site) -> None:
        """Nobody approved, and nobody is said to have."""
        assert site.forge.read(site.reference).approvals == ()

    def test_approvals_name_people_and_the_head(self, site: Site) -> None:
        """Each approval is one person's, of the whole change, bound to the head commit."""
        for person in REVIEWERS:
            site.approve(person)
            site.approve(person)
        request = site.forge.read(site.reference)
        assert [(person, request.head, "") for person in REVIEWERS] == [
            (approval.by, approval.commit, approval.of) for approval in request.approvals
        ]
        assert all(approval.at.utcoffset() is not None for approval in request.approvals)

    def test_the_author_never_counts(self, site: Site) -> None:
        """An approval by the author is not there."""
        site.approve(AUTHOR)
        site.approve(REVIEWERS[0])
        assert [REVIEWERS[0]] == [approval.by for approval in site.forge.read(site.reference).approvals]

    def test_a_push_leaves_approvals_behind(self, site: Site) -> None:
        """After a new push, no approval is bound to the new head."""
        site.approve(REVIEWERS[0])
        before = site.forge.read(site.reference)
        site.push()
        after = site.forge.read(site.reference)
        assert before.head != after.head
        assert after.head not in {approval.commit for approval in after.approvals}

    def test_approving_again_after_a_push_counts(self, site: Site) -> None:
        """An approval of the new head is bound to it."""
        site.approve(REVIEWERS[0])
        site.push()
        site.approve(REVIEWERS[0])
        request = site.forge.read(site.reference)
        assert [request.head] == [approval.commit for approval in request.approvals]

    def test_a_withdrawn_approval_is_gone(self, site: Site) -> None:
        """Who takes an approval back has not approved; others still have."""
        for person in REVIEWERS:
            site.approve(person)
        site.withdraw(REVIEWERS[0])
        assert [REVIEWERS[1]] == [approval.by for approval in site.forge.read(site.reference).approvals]

    @pytest.mark.parametrize("reference", ["999999", "no-such..thing", "--help", "a\x1b[2Jb", "x" * 5_000], ids=repr)
    def test_unknown_references_are_refused(self, site: Site, reference: str) -> None:
        """What names no pull request is unusable, and its control characters do not come back."""
        with pytest.raises(Unusable) as caught:
            site.forge.read(reference)
        assert (caught.value.message + (caught.value.hint or "")).isprintable()

    def test_the_comment_is_sticky(self, site: Site) -> None:
        """However often a report is posted, there is one comment, and it is the last report."""
        request = site.forge.read(site.reference)
        site.forge.post_comment(request, "**blocked**\n\nfirst")
        site.forge.post_comment(request, f"**passes**\n\n{MARKER}\n\nsecond")
        site.forge.post_comment(request, "**passes**\n\nsecond")
        (shown,) = site.comments()
        assert shown.startswith("**passes**\n")
        assert "second" in shown
        assert "first" not in shown

    def test_a_large_comment_is_cut(self, site: Site) -> None:
        """A report beyond what the forge takes is cut with a note, its fence and fold closed, and stays one comment."""
        request = site.forge.read(site.reference)
        large = "**blocked**\n<details>\n\n```text\n" + "ä line of a report\n" * 60_000
        for _ in range(2):
            site.forge.post_comment(request, large)
        (shown,) = site.comments()
        assert len(shown.encode()) <= site.forge.capabilities.comment_bytes
        assert "cut here" in shown
        assert shown.count("```") % 2 == 0
        assert shown.count("<details>") == shown.count("</details>")

    def test_checks_are_shown_at_the_head(self, site: Site) -> None:
        """Each run is shown with its conclusion and title; posted again, the new one is."""
        request = site.forge.read(site.reference)
        site.forge.post_checks(request, [_run("muster / gate / size", "failure"), _run("muster", "failure")])
        site.forge.post_checks(request, [_run("muster / gate / size", "success"), _run("muster", "neutral")])
        assert site.checks() == {
            "muster / gate / size": ("success", "it is success"),
            "muster": ("neutral", "it is neutral"),
        }

    def test_many_annotations_are_taken(self, site: Site) -> None:
        """A run with more annotations than one request may carry is shown all the same."""
        notes = tuple(Annotation("releases/a/1.0.0.yaml", line, "failure", f"line {line}") for line in range(1, 121))
        run = CheckRun("muster / change", "failure", "120 fail", "all of them", notes)
        site.forge.post_checks(site.forge.read(site.reference), [run])
        assert site.checks() == {"muster / change": ("failure", "120 fail")}

    def test_checks_and_comment_stand_side_by_side(self, site: Site) -> None:
        """Posting one does not take the other away."""
        request = site.forge.read(site.reference)
        site.forge.post_checks(request, [_run("muster", "success")])
        site.forge.post_comment(request, "**passes**")
        site.forge.post_checks(request, [_run("muster", "success")])
        assert site.checks() == {"muster": ("success", "it is success")}
        assert len(site.comments()) == 1

    def test_a_status_is_shown_on_its_commit(self, site: Site) -> None:
        """Contexts stand side by side, the newest of each counts, and no other commit is touched."""
        base, head = site.heads()
        for state in ("pending", "failure"):
            site.forge.post_status(head, CommitStatus("muster / a", state, f"it is {state}"))
        site.forge.post_status(head, CommitStatus("muster / a: b", "success", "fine"))
        assert site.statuses(head) == {"muster / a": ("failure", "it is failure"), "muster / a: b": ("success", "fine")}
        assert site.statuses(base) == {}

    def test_a_status_is_bounded_plain_text(self, site: Site) -> None:
        """A long or hostile description is cut and escaped."""
        _, head = site.heads()
        site.forge.post_status(head, CommitStatus("muster", "error", "a\x1b[2J\nb" + "x" * 1_000))
        ((state, text),) = site.statuses(head).values()
        assert state == "error"
        assert len(text) == LONGEST_DESCRIPTION
        assert text.isprintable()

    @pytest.mark.parametrize("commit", ["main", "c" * 39, "c" * 40, "--help"])
    def test_a_status_needs_a_commit(self, site: Site, commit: str) -> None:
        """No branch, no short id, none that is not there."""
        with pytest.raises(Unusable):
            site.forge.post_status(commit, CommitStatus("muster", "success", "fine"))

    def test_a_branch_is_proposed_once(self, site: Site) -> None:
        """Asked again, the same pull request is named; another branch has another one; withdrawing repeats safely."""
        for branch in ("muster/advance/m/1.0.0/canary-50000", "muster/revert/m/1.0.0"):
            site.add_branch(branch)
        step = Proposed("muster/advance/m/1.0.0/canary-50000", "main", "Advance\x1b[2J m" + "x" * 500, "the record")
        first = site.forge.propose(step)
        assert site.forge.propose(step) == first
        assert site.forge.propose(replace(step, branch="muster/revert/m/1.0.0")) != first
        for _ in range(2):
            site.forge.withdraw(step.branch)

    @pytest.mark.parametrize("branch", ["--help", "a..b", "no/such", "x\x1b[2J"], ids=repr)
    def test_what_is_no_branch_is_not_proposed(self, site: Site, branch: str) -> None:
        """Neither an option nor one that is not there."""
        with pytest.raises(MusterError) as caught:
            site.forge.propose(Proposed(branch, "main", "title", "body"))
        assert (caught.value.message + (caught.value.hint or "")).isprintable()

    def test_two_runs_of_one_name_are_refused(self, site: Site) -> None:
        """One would hide the other."""
        request = site.forge.read(site.reference)
        with pytest.raises(MusterError):
            site.forge.post_checks(request, [_run("muster", "failure"), _run("muster", "success")])
        assert site.checks() == {}


def _run(name: str, conclusion: str) -> CheckRun:
    return CheckRun(name, conclusion, f"it is {conclusion}", "```text\nwhy\n```")

"""The GitHub driver, against GitHub in memory."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from forge_conformance import AUTHOR, BODY, TITLE, ForgeConformance
from simulated_github import API, REPOSITORY, TOKEN, Clock, SimulatedGitHub, make_github

from muster.forge.forge import MARKER, Annotation, CheckRun, Proposed
from muster.forge.github.address import Address
from muster.forge.github.client import Client
from muster.forge.github.driver import GitHub
from muster.kinds.errors import Refused, TryAgain, Unusable


def driver(github: SimulatedGitHub, **options: str) -> GitHub:
    """A driver that talks to it."""
    return GitHub(Client(Address.of(API), TOKEN, Clock(), github), REPOSITORY, **options)


class GitHubSite:
    def __init__(self) -> None:
        self.github = make_github(AUTHOR, TITLE, BODY)
        self.forge = driver(self.github)
        self.reference = "7"

    def heads(self) -> tuple[str, str]:
        return self.github.base, self.github.pull["head"]["sha"]

    def approve(self, person: str) -> None:
        self.github.review(person, "APPROVED")

    def withdraw(self, person: str) -> None:
        for review in self.github.reviews:
            if review["user"]["login"] == person:
                review["state"] = "DISMISSED"

    def push(self) -> None:
        self.github.add_commit(AUTHOR)

    def add_branch(self, branch: str) -> None:
        self.github.branches.add(branch)

    def comments(self) -> list[str]:
        return [comment["body"] for comment in self.github.comments]

    def checks(self) -> dict[str, tuple[str, str]]:
        return {run["name"]: (run["conclusion"], run["output"]["title"]) for run in self.github.check_runs}

    def statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        shown = [status for status in self.github.statuses if status["sha"] == commit]
        return {status["context"]: (status["state"], status["description"]) for status in shown}


class TestGitHub(ForgeConformance):
    def make_site(self, folder: Path) -> GitHubSite:  # noqa: ARG002 - it needs none
        return GitHubSite()


@pytest.fixture
def github() -> SimulatedGitHub:
    return make_github(AUTHOR, TITLE, BODY)


REVIEWS = {
    "an approval": (["APPROVED"], True),
    "a comment is no opinion": (["APPROVED", "COMMENTED"], True),
    "a comment alone approves nothing": (["COMMENTED"], False),
    "asking for changes withdraws": (["APPROVED", "CHANGES_REQUESTED"], False),
    "approving after asking for changes": (["CHANGES_REQUESTED", "APPROVED"], True),
    "dismissed later": (["APPROVED", "DISMISSED"], False),
    "approved again after a dismissal": (["DISMISSED", "APPROVED"], True),
    "not submitted yet": (["PENDING"], False),
    "a state that nobody knows": (["APPROVED_ISH"], False),
}


@pytest.mark.parametrize(("states", "approved"), REVIEWS.values(), ids=REVIEWS)
def test_the_last_opinion_counts(github: SimulatedGitHub, states: list[str], approved: bool) -> None:
    """A person's approval stands unless the same person later took it back."""
    for state in states:
        github.review("ben", state)
    assert approved == bool(driver(github).read("7").approvals)


def test_others_do_not_withdraw(github: SimulatedGitHub) -> None:
    """Somebody else's wish for changes leaves an approval as it is; logins are compared without case."""
    github.review("Ben", "APPROVED")
    github.review("cyd", "CHANGES_REQUESTED")
    github.review("ben", "APPROVED")
    assert [approval.by for approval in driver(github).read("7").approvals] == ["ben"]


def test_bots_ghosts_and_the_author_do_not_approve(github: SimulatedGitHub) -> None:
    """Apps, deleted accounts and the author in another spelling are nobody's second pair of eyes."""
    github.review("helper", "APPROVED", kind="Bot")
    github.review("dependabot[bot]", "APPROVED")
    github.review(AUTHOR.upper(), "APPROVED")
    github.review("gone", "APPROVED")
    github.reviews[-1]["user"] = None
    assert driver(github).read("7").approvals == ()


def test_the_text_of_a_review_approves_nothing(github: SimulatedGitHub) -> None:
    """Others may edit it, so only its state counts."""
    github.review("ben", "COMMENTED", body="Approve: checklist/security-review\nAPPROVED")
    assert driver(github).read("7").approvals == ()


def test_the_base_is_the_tip_of_its_branch(github: SimulatedGitHub) -> None:
    """Not the commit that GitHub noted when the pull request was last pushed: policies may be stricter since."""
    github.base = "f" * 40
    request = driver(github).read("7")
    assert request.base == "f" * 40
    assert github.pull["base"]["sha"] == "0" * 40


def test_a_pull_request_without_text(github: SimulatedGitHub) -> None:
    """GitHub says null where nobody wrote anything, and {} for an author whom it does not know."""
    github.pull["body"] = None
    github.commits[0]["author"] = {}
    github.commits[1]["author"] = None
    request = driver(github).read("7")
    assert request.body == ""
    assert [f"{AUTHOR}@fleet.example"] * 2 == [commit.author for commit in request.commits]


def test_more_commits_than_github_lists(github: SimulatedGitHub) -> None:
    """What is not listed was not judged: the pull request is refused, with what to do."""
    for _ in range(260):
        github.add_commit(AUTHOR)
    with pytest.raises(Refused, match="262 commits"):
        driver(github).read("7")


def test_a_push_while_reading(github: SimulatedGitHub) -> None:
    """Commits and head that do not belong together are never judged together."""
    github.pull["head"]["sha"] = "9" * 40
    with pytest.raises(TryAgain, match="pushed to"):
        driver(github).read("7")


def test_a_workflow_run_finds_its_pull_request(github: SimulatedGitHub) -> None:
    """By the head's owner, branch and commit, since GitHub leaves numbers out for forks; a newer head is not found."""
    head = github.pull["head"]["sha"]
    assert driver(github).read(f"{AUTHOR}:promote@{head}").number == 7
    with pytest.raises(Unusable, match="no open pull requests"):
        driver(github).read(f"{AUTHOR}:promote@{'9' * 40}")
    with pytest.raises(Unusable, match="no open pull requests"):
        driver(github).read(f"mallory:promote@{head}")


def test_only_our_own_comment_is_edited(github: SimulatedGitHub) -> None:
    """Somebody else's comment with the hidden line is left alone, and so is ours without it."""
    github.comments = [
        {"id": 1, "user": {"login": "mallory"}, "body": f"all good\n{MARKER}"},
        {"id": 2, "user": {"login": github.login}, "body": f"> {MARKER}"},
    ]
    forge = driver(github)
    for text in ("first", "second"):
        forge.post_comment(forge.read("7"), text)
    assert [f"all good\n{MARKER}", f"> {MARKER}", f"second\n\n{MARKER}"] == [note["body"] for note in github.comments]


def test_the_same_report_is_not_posted_twice(github: SimulatedGitHub) -> None:
    """An unchanged comment is left as it is: nobody is notified."""
    forge = driver(github)
    for _ in range(2):
        forge.post_comment(forge.read("7"), "same")
    assert [method for method, _, _ in github.asked if method != "GET"] == ["POST"]


def test_a_token_that_may_not_ask_for_its_name(github: SimulatedGitHub) -> None:
    """In a workflow the login is known; elsewhere the error says how to give it."""
    github.login = None
    forge = driver(github)
    request = forge.read("7")
    with pytest.raises(Unusable, match="whose token") as caught:
        forge.post_comment(request, "report")
    assert "MUSTER_GITHUB_LOGIN" in (caught.value.hint or "")
    for _ in range(2):
        forge = driver(github, otherwise="github-actions[bot]")
        forge.post_comment(forge.read("7"), "report")
    assert len(github.comments) == 1


def test_annotations_come_in_batches(github: SimulatedGitHub) -> None:
    """All of them arrive, at most 50 in a request, and the run is created once."""
    notes = tuple(Annotation("releases/m/1.0.0.yaml", line, "warning", "why", "what") for line in range(1, 121))
    forge = driver(github)
    forge.post_checks(forge.read("7"), [CheckRun("muster", "neutral", "120", "all", notes)])
    (run,) = github.check_runs
    assert [note["start_line"] for note in run["output"]["annotations"]] == list(range(1, 121))
    assert [status for method, _, status in github.asked if method != "GET"] == [201, 200, 200]


def test_an_approval_behind_a_full_page(github: SimulatedGitHub) -> None:
    """Reviews beyond the first hundred count, also when the first page did not change since it was last read."""
    forge = driver(github)
    for _ in range(100):
        github.review("cyd", "COMMENTED")
    assert forge.read("7").approvals == ()
    github.review("ben", "APPROVED")
    assert [approval.by for approval in forge.read("7").approvals] == ["ben"]


def test_a_comment_is_not_posted_twice_by_a_failure(github: SimulatedGitHub) -> None:
    """A failure while a comment is made is not tried again blindly; the next run finds what there is."""
    forge = driver(github)
    request = forge.read("7")
    github.next_answers = [
        httpx.Response(200, json={"login": github.login}),
        httpx.Response(200, json=[]),
        httpx.Response(502, text="bad gateway"),
    ]
    with pytest.raises(TryAgain, match="502"):
        forge.post_comment(request, "report")
    assert github.next_answers == []


@pytest.mark.parametrize("repository", ["", "fleet", "a/b/c", "../x", "fleet/..", "a b/c", "x" * 101 + "/y"], ids=repr)
def test_repositories_have_an_owner_and_a_name(github: SimulatedGitHub, repository: str) -> None:
    """Anything else could lead to another part of the API."""
    with pytest.raises(Unusable):
        GitHub(Client(Address.of(API), TOKEN, Clock(), github), repository)


def test_files_in_pages(github: SimulatedGitHub) -> None:
    """All of them."""
    github.files = [{"filename": f"releases/m/{n}.0.0.yaml", "status": "added"} for n in range(2_345)]
    forge = driver(github)
    assert len(forge.files(forge.read("7"))) == 2_345


def test_ten_thousand_files_and_no_more(github: SimulatedGitHub) -> None:
    """A pull request beyond the bound is refused rather than judged in part."""
    github.files = [{"filename": f"f{n}", "status": "added"} for n in range(10_001)]
    forge = driver(github)
    with pytest.raises(Refused, match="more than 10000"):
        forge.files(forge.read("7"))


def test_a_hostile_title_is_only_text(github: SimulatedGitHub) -> None:
    """Titles and bodies pass through as they are; control characters do no harm before somebody shows them."""
    github.pull["title"] = "::error::\u202e\x1b[2J"
    assert driver(github).read("7").title == "::error::\u202e\x1b[2J"


def test_texts_fit_github(github: SimulatedGitHub) -> None:
    """Titles and summaries beyond GitHub's sizes are cut, whatever letters they hold."""
    forge = driver(github)
    forge.post_checks(forge.read("7"), [CheckRun("ü" * 300, "failure", "ü" * 400, "ü\n" * 70_000)])
    (run,) = github.check_runs
    assert len(run["name"].encode()) <= 255
    assert len(run["output"]["title"].encode()) <= 255
    assert len(run["output"]["summary"].encode()) <= 65_535
    assert "cut here" in run["output"]["summary"]


def test_a_proposal_that_got_lost_is_found_again(github: SimulatedGitHub) -> None:
    """An answer that does not come is no second pull request, and a closed one is not taken for an open one."""
    branch = "muster/advance/m/1.0.0/canary-50000"
    github.branches.add(branch)
    forge = driver(github)
    github.next_answers = [httpx.Response(200, json=[]), httpx.ReadError("lost")]
    with pytest.raises(TryAgain):
        forge.propose(Proposed(branch, "main", "title", "body"))
    assert forge.propose(Proposed(branch, "main", "title", "body")) == "#100"
    assert forge.propose(Proposed(branch, "main", "title", "body")) == "#100"
    forge.withdraw(branch)
    assert [one["state"] for one in github.opened] == ["closed"]
    assert forge.propose(Proposed(branch, "main", "title", "body")) == "#101"

"""How a workflow sets the driver up: environment and event file, both of which are only hints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from simulated_github import API, REPOSITORY, TOKEN, make_github

from muster.forge.github.driver import from_environment
from muster.forge.github.event import LARGEST, reference_of
from muster.kinds.errors import Unusable

HEAD = "a" * 40
REVIEW = {"repository": {"full_name": REPOSITORY}, "action": "submitted", "pull_request": {"number": 7}}
RUN = {
    "repository": {"full_name": REPOSITORY},
    "workflow_run": {
        "event": "pull_request",
        "head_sha": HEAD,
        "head_branch": "team/topic",
        "head_repository": {"owner": {"login": "contributor"}},
        "pull_requests": [],
    },
}


def event(folder: Path, value: Any) -> Path:
    """An event file."""
    path = folder / "event.json"
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return path


def environment(folder: Path, value: Any, **others: str) -> dict[str, str]:
    """What a runner sets."""
    return {
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_API_URL": API,
        "GITHUB_EVENT_PATH": str(event(folder, value)),
        **others,
    }


def test_a_review_names_its_pull_request(tmp_path: Path) -> None:
    """The number of the event is what is read."""
    github = make_github("ada", "title", "body")
    forge = from_environment(environment(tmp_path, REVIEW), github)
    assert forge.reference == "7"
    assert forge.read("").number == 7


def test_a_workflow_run_names_owner_branch_and_commit(tmp_path: Path) -> None:
    """Also for a fork, whose number GitHub leaves out."""
    assert reference_of(event(tmp_path, RUN), REPOSITORY) == f"contributor:team/topic@{HEAD}"


def test_without_an_event_a_reference_is_needed() -> None:
    """Outside of a workflow, the pull request is named by hand; without, the error says so."""
    github = make_github("ada", "title", "body")
    environ = {"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": REPOSITORY, "GITHUB_API_URL": API}
    forge = from_environment(environ, github)
    assert forge.read("#7").number == 7
    with pytest.raises(Unusable, match="not a pull request"):
        forge.read("")


def test_the_public_api_is_the_default() -> None:
    """Without GITHUB_API_URL, requests go to GitHub's own."""
    asked: list[str] = []

    class Noting(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(str(request.url))
            return httpx.Response(404)

    forge = from_environment({"GITHUB_TOKEN": TOKEN, "GITHUB_REPOSITORY": REPOSITORY}, Noting())
    with pytest.raises(Unusable):
        forge.read("7")
    assert asked == [f"https://api.github.com/repos/{REPOSITORY}/pulls/7"]


def test_comments_in_a_workflow_are_the_workflows(tmp_path: Path) -> None:
    """Its token may not ask for its own name; a login that is set by hand comes first."""
    github = make_github("ada", "title", "body")
    github.login = None
    for _ in range(2):
        forge = from_environment(environment(tmp_path, REVIEW, GITHUB_ACTIONS="true"), github)
        forge.post_comment(forge.read(""), "report")
    assert len(github.comments) == 1
    forge = from_environment(environment(tmp_path, REVIEW, MUSTER_GITHUB_LOGIN="other[bot]"), github)
    forge.post_comment(forge.read(""), "report")
    assert len(github.comments) == 2


MISSING = ["GITHUB_TOKEN", "GITHUB_REPOSITORY"]


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    """The error says what to set, and never shows the token."""
    environ = environment(tmp_path, REVIEW)
    del environ[name]
    with pytest.raises(Unusable) as caught:
        from_environment(environ)
    assert name in f"{caught.value.message} {caught.value.hint}"
    assert TOKEN not in str(caught.value)


HOSTILE = {
    "no JSON": b"\xff\x00{",
    "empty": b"",
    "deep": b'{"repository":' + b"[" * 200_000,
    "another repository": {**REVIEW, "repository": {"full_name": "evil/fork"}},
    "no pull request": {"repository": {"full_name": REPOSITORY}},
    "a number as text": {**REVIEW, "pull_request": {"number": "7/../../other/pulls/8"}},
    "a negative number": {**REVIEW, "pull_request": {"number": -7}},
    "true for a number": {**REVIEW, "pull_request": {"number": True}},
    "a run of a push": {**RUN, "workflow_run": {**RUN["workflow_run"], "event": "push"}},
    "a login with a query": {
        **RUN,
        "workflow_run": {**RUN["workflow_run"], "head_repository": {"owner": {"login": "a&state=closed"}}},
    },
    "a commit that is none": {**RUN, "workflow_run": {**RUN["workflow_run"], "head_sha": "HEAD\x1b[2J"}},
    "too large": b'{"x":"' + b"x" * LARGEST + b'"}',
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_hostile_events_are_unusable(tmp_path: Path, value: Any) -> None:
    """Whatever stands in the file: a complaint that can be shown, and no request."""
    with pytest.raises(Unusable) as caught:
        reference_of(event(tmp_path, value), REPOSITORY)
    assert caught.value.message.isprintable()


def test_an_event_file_is_a_file(tmp_path: Path) -> None:
    """A folder, a pipe or nothing at all does not hang the gate."""
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        for path in (tmp_path, tmp_path / "pipe", tmp_path / "none"):
            with pytest.raises(Unusable):
                reference_of(path, REPOSITORY)
    finally:
        os.close(writer)


BRANCHES = ["a&state=closed", "a#b", "a?b=c", "ümlaut/日本", "a%2Fb", "x" * 200]


@pytest.mark.parametrize("branch", BRANCHES, ids=repr)
def test_branch_names_stay_one_parameter(tmp_path: Path, branch: str) -> None:
    """However a branch is called, it changes nothing else of the question."""
    github = make_github("contributor", "title", "body")
    github.pull["head"]["ref"] = branch
    value = {
        **RUN,
        "workflow_run": {
            **RUN["workflow_run"],
            "head_branch": branch,
            "head_sha": github.pull["head"]["sha"],
        },
    }
    assert from_environment(environment(tmp_path, value), github).read("").number == 7
    asked = httpx.URL(github.asked[0][1])
    assert dict(asked.params) == {"state": "open", "head": f"contributor:{branch}", "per_page": "100"}

"""GitHub in memory, as an HTTP transport: one repository with pull requests, reviews, comments and check runs.

It behaves as the real one does where Muster depends on it: pages with links, ETags, rate limits on demand, reviews that
are dismissed in their place, check runs of which the newest of a name is shown.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import httpx

TOKEN = "ghs_" + "s" * 36
API = "https://api.github.test"
REPOSITORY = "fleet/meters"


@dataclass
class Clock:
    """A clock that only moves when somebody sleeps."""

    time: float = 1_800_000_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@dataclass
class SimulatedGitHub(httpx.BaseTransport):
    """`next_answers` are given, in turn, before anything else."""

    base: str = "b" * 40
    branch: str = "main"
    pull: dict[str, Any] = field(default_factory=dict)
    commits: list[dict[str, Any]] = field(default_factory=list)
    reviews: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    check_runs: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    login: str | None = "muster-app[bot]"
    next_answers: list[httpx.Response | Exception] = field(default_factory=list)
    branches: set[str] = field(default_factory=set)
    opened: list[dict[str, Any]] = field(default_factory=list)
    """Pull requests that were opened here; `pull` is the one that was there before."""
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    """Method, URL and status of everything that was asked."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        answer: httpx.Response | Exception
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            answer = httpx.Response(401, json={"message": f"Bad credentials {request.headers['authorization']}"})
        elif self.next_answers:
            answer = self.next_answers.pop(0)
        else:
            answer = self._answer(request)
        self.asked.append((request.method, str(request.url), getattr(answer, "status_code", 0)))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0].removeprefix(f"/repos/{REPOSITORY}")
        body = json.loads(request.content or b"null")
        number = self.pull.get("number")
        writes = {
            ("POST", f"/issues/{number}/comments"): self._comment,
            ("POST", "/check-runs"): self._check_run,
            ("POST", "/pulls"): self._open,
        }
        if request.method == "POST" and path.startswith("/statuses/"):
            return self._status(path.removeprefix("/statuses/"), body)
        if (request.method, path) in writes:
            return writes[request.method, path](body)
        if request.method == "PATCH":
            return self._patch(path, body)
        return self._read(request, path)

    def _read(self, request: httpx.Request, path: str) -> httpx.Response:
        number = self.pull.get("number")
        lists = {
            f"/pulls/{number}/commits": self.commits[:250],
            f"/pulls/{number}/reviews": self.reviews,
            f"/pulls/{number}/files": self.files,
            f"/issues/{number}/comments": self.comments,
        }
        if path in lists:
            return self._paged(request, lists[path])
        if path == "/user" and self.login is None:
            return httpx.Response(403, json={"message": "Resource not accessible by integration"})
        head = f"{self.pull['head']['user']}:{self.pull['head']['ref']}"
        values: dict[str, Any] = {
            "/pulls": [self.pull] if request.url.params.get("head") == head else self._opened(request),
            f"/pulls/{number}": self.pull,
            f"/git/ref/heads%2F{self.branch}": {"ref": f"refs/heads/{self.branch}", "object": {"sha": self.base}},
            "/user": _user(self.login or ""),
        }
        if path not in values:
            return httpx.Response(404, json={"message": "Not Found"})
        return self._tagged(request, values[path])

    def _paged(self, request: httpx.Request, items: list[dict[str, Any]]) -> httpx.Response:
        at = int(request.url.params.get("page", "1"))
        size = int(request.url.params.get("per_page", "30"))
        answer = self._tagged(request, items[(at - 1) * size : at * size])
        if at * size < len(items):
            answer.headers["link"] = f'<{request.url.copy_set_param("page", at + 1)}>; rel="next"'
        return answer

    def _tagged(self, request: httpx.Request, value: Any) -> httpx.Response:
        content = json.dumps(value).encode()
        tag = f'W/"{hashlib.sha256(content).hexdigest()}"'
        if request.headers.get("if-none-match") == tag:
            return httpx.Response(304, headers={"etag": tag})
        return httpx.Response(200, headers={"etag": tag}, content=content)

    def _opened(self, request: httpx.Request) -> list[dict[str, Any]]:
        owner = REPOSITORY.partition("/")[0]
        wanted = request.url.params.get("head")
        return [one for one in self.opened if f"{owner}:{one['head']['ref']}" == wanted and one["state"] == "open"]

    def _open(self, body: dict[str, Any]) -> httpx.Response:
        known = [one for one in self.opened if one["head"]["ref"] == body["head"] and one["state"] == "open"]
        if known or body["head"] not in self.branches:
            return httpx.Response(422, json={"message": "Validation Failed"})
        made = {
            "number": 100 + len(self.opened),
            "title": body["title"],
            "body": body["body"],
            "state": "open",
            "user": _user(self.login or ""),
            "head": {"ref": body["head"], "sha": "a" * 40},
            "base": {"ref": body["base"], "sha": self.base},
        }
        self.opened.append(made)
        return httpx.Response(201, json=made)

    def _comment(self, body: dict[str, Any]) -> httpx.Response:
        made = {"id": len(self.comments) + 1, "user": _user(self.login or "github-actions[bot]"), "body": body["body"]}
        self.comments.append(made)
        return httpx.Response(201, json=made)

    def _check_run(self, body: dict[str, Any]) -> httpx.Response:
        if len(body["output"]["annotations"]) > 50:
            return httpx.Response(422, json={"message": "no more than 50 annotations"})
        made = {"id": len(self.check_runs) + 1, **body}
        self.check_runs.append(made)
        return httpx.Response(201, json=made)

    def _status(self, sha: str, body: dict[str, Any]) -> httpx.Response:
        if sha not in {self.base, *(commit["sha"] for commit in self.commits)} or len(body["description"]) > 140:
            return httpx.Response(422, json={"message": f"No commit found for SHA: {sha}"})
        self.statuses.append({"id": len(self.statuses) + 1, "sha": sha, **body})
        return httpx.Response(201, json=self.statuses[-1])

    def _patch(self, path: str, body: dict[str, Any]) -> httpx.Response:
        what, _, number = path.rpartition("/")
        if what == "/pulls":
            self.opened[int(number) - 100] |= body
            return httpx.Response(200, json=self.opened[int(number) - 100])
        if what == "/issues/comments":
            self.comments[int(number) - 1]["body"] = body["body"]
            return httpx.Response(200, json=self.comments[int(number) - 1])
        if what == "/check-runs" and len(body["output"]["annotations"]) <= 50:
            self.check_runs[int(number) - 1]["output"]["annotations"] += body["output"]["annotations"]
            return httpx.Response(200, json=self.check_runs[int(number) - 1])
        return httpx.Response(422, json={"message": "no more than 50 annotations"})

    def add_commit(self, author: str) -> None:
        """The author pushes."""
        sha = hashlib.sha1(f"{author} {len(self.commits)}".encode()).hexdigest()
        commit = {"sha": sha, "author": _user(author), "commit": {"author": {"email": f"{author}@fleet.example"}}}
        self.commits.append(commit)
        self.pull["head"]["sha"] = sha
        self.pull["commits"] = len(self.commits)

    def review(self, login: str, state: str, *, kind: str = "User", body: str = "") -> None:
        """Somebody reviews the head."""
        self.reviews.append(
            {
                "id": len(self.reviews) + 1,
                "user": {"login": login, "type": kind},
                "state": state,
                "commit_id": self.pull["head"]["sha"],
                "submitted_at": f"2026-11-21T{10 + len(self.reviews) // 60}:{len(self.reviews) % 60:02d}:00Z",
                "body": body,
            }
        )


def make_github(author: str, title: str, body: str | None) -> SimulatedGitHub:
    """A repository with one pull request of two commits."""
    github = SimulatedGitHub()
    github.pull = {
        "number": 7,
        "title": title,
        "body": body,
        "user": _user(author),
        "head": {"ref": "promote", "sha": "", "user": author},
        "base": {"ref": "main", "sha": "0" * 40},
    }
    github.add_commit(author)
    github.add_commit(author)
    return github


def _user(login: str) -> dict[str, Any]:
    return {"login": login, "type": "Bot" if login.endswith("[bot]") else "User"}

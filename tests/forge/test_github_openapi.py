"""Every request to GitHub, held against GitHub's published OpenAPI description by a validating mock (Prism)."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from github_description import DESCRIPTION, OPERATIONS, PRISM, cut_description

from muster.forge.forge import Annotation, CheckRun, CommitStatus
from muster.forge.github.address import Address
from muster.forge.github.client import Client, Clock
from muster.forge.github.driver import GitHub
from muster.kinds.errors import Unusable

STARTS_WITHIN = 60.0
ANNOTATIONS = tuple(Annotation("releases/m/1.0.0.yaml", line, "failure", "why", "what") for line in range(1, 121))
EDITED = "/repos/octocat/Hello-World/issues/comments/1"
"""The examples hold no comment of ours, so the edit is sent in the driver's form."""


def _missing() -> str | None:
    node = shutil.which("node")
    if node is None:
        return "node is not here"
    if not DESCRIPTION.is_file() or not PRISM.is_file():
        return "the description and its mock are not here; `make peers` brings them"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major = re.match(r"v([0-9]+)", version)
    return None if major and int(major[1]) >= 20 else f"the mock needs node 20, and this is {version.strip()}"


pytestmark = pytest.mark.skipif(_missing() is not None, reason=_missing() or "")


@dataclass
class Watched(httpx.BaseTransport):
    """Passes requests on and notes which they were, and what the mock says against them.

    Links in GitHub's examples lead to the public GitHub: dropped. Some of its examples do not fit its own schemas, so
    what the mock says against its answers does not count.
    """

    inner: httpx.HTTPTransport = field(default_factory=httpx.HTTPTransport)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    violations: list[object] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.inner.handle_request(request)
        answer.headers.pop("link", None)
        said = json.loads(answer.headers.get("sl-violations", "[]"))
        self.violations += [violation for violation in said if violation["location"][0] == "request"]
        self.asked.append((request.method.lower(), request.url.raw_path.decode(), answer.status_code))
        return answer

    def close(self) -> None:
        self.inner.close()


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the mock."""
    folder = tmp_path_factory.mktemp("prism")
    (folder / "github.json").write_text(json.dumps(cut_description()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["node", str(PRISM), "mock", "-h", "127.0.0.1", "-p", str(port), str(folder / "github.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder) as process:
        said = Listener(process)
        try:
            assert said.listening.wait(STARTS_WITHIN), said.text()
            assert process.poll() is None, said.text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            said.join()


class Listener(threading.Thread):
    """Reads what the mock says, so that it never waits for us; `listening` is set once it serves, or ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self.listening = threading.Event()
        self._process = process
        self._lines: deque[bytes] = deque(maxlen=50)
        self.start()

    def run(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if b"listening on" in line:
                self.listening.set()
        self.listening.set()

    def text(self) -> str:
        """The end of what it said."""
        return b"".join(self._lines).decode(errors="replace")


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Watched() as transport:
        yield transport
        assert transport.violations == []


@pytest.fixture
def client(mock: str, watched: Watched) -> Client:
    # A mock that asks for patience is a failure.
    return Client(Address.of(mock), "ghs_token", Clock(lambda: 0.0, lambda _: None), watched, patience=0.0)


@pytest.fixture
def forge(client: Client) -> GitHub:
    return GitHub(client, "octocat/Hello-World")


def test_reading_is_as_described(forge: GitHub, watched: Watched) -> None:
    """Every question is one that GitHub describes, and its own examples are understood."""
    request = forge.read("1347")
    assert request.number == 1347
    assert request.author == "octocat"
    assert request.base == "aa218f56b14c9653891f9e74264a383fa43fefbd"
    assert [commit.commit for commit in request.commits] == [request.head]
    assert [file.filename for file in forge.files(request)] == ["file1.txt"]
    assert {status for _, _, status in watched.asked} == {200}


def test_finding_by_head_is_as_described(forge: GitHub, watched: Watched) -> None:
    """The list of pull requests may be asked for one head."""
    head = forge.read("1347").head
    assert forge.read(f"octocat:new/topic&more=ü@{head}").head == head
    assert {status for _, _, status in watched.asked} == {200}


def test_checks_are_as_described(forge: GitHub, watched: Watched) -> None:
    """Check runs with more annotations than one request carries are created and completed as GitHub asks."""
    runs = [
        CheckRun("muster / gate / accuracy", "failure", "1 fail", "```text\nwhy\n```", ANNOTATIONS),
        CheckRun("ü" * 300, "neutral", "", "ü" * 100_000),
        CheckRun("muster", "success", "passes", "Nothing stands in the way."),
    ]
    forge.post_checks(forge.read("1347"), runs)
    assert [(method, status) for method, path, status in watched.asked if "check-runs" in path] == [
        ("post", 201),
        ("patch", 200),
        ("patch", 200),
        ("post", 201),
        ("post", 201),
    ]


def test_statuses_are_as_described(forge: GitHub, watched: Watched) -> None:
    """A status of the longest texts is created as GitHub asks."""
    forge.post_status("6dcb09b5b57875f334f61aebed695e2e4193db5e", CommitStatus("ü" * 300, "failure", "ü" * 1_000))
    assert [(method, status) for method, _, status in watched.asked] == [("post", 201)]


def test_comments_are_as_described(forge: GitHub, client: Client, watched: Watched) -> None:
    """A comment is listed, created and edited as GitHub asks."""
    forge.post_comment(forge.read("1347"), "**passes**")
    client.send("PATCH", EDITED, {"body": "x"}, repeatable=True)
    written = [(method, status) for method, _, status in watched.asked if method != "get"]
    assert written == [("post", 201), ("patch", 200)]


def test_every_operation_is_exercised(mock: str) -> None:
    """What is described here is what the driver asks for: an operation that nothing uses would prove nothing."""
    with Watched() as watched:
        client = Client(Address.of(mock), "ghs_token", Clock(lambda: 0.0, lambda _: None), watched, patience=0.0)
        forge = GitHub(client, "octocat/Hello-World")
        request = forge.read("1347")
        forge.read(f"octocat:topic@{request.head}")
        forge.files(request)
        forge.post_checks(request, [CheckRun("muster", "failure", "x", "x", ANNOTATIONS)])
        forge.post_comment(request, "x")
        forge.post_status(request.head, CommitStatus("muster", "success", "x"))
        client.send("PATCH", EDITED, {"body": "x"}, repeatable=True)
        assert watched.violations == []
        used = {(method, _template(path)) for method, path, _ in watched.asked}
    assert used == set(OPERATIONS)


def _template(path: str) -> str:
    found = [
        template
        for _, template in OPERATIONS
        if re.fullmatch(re.sub(r"\{[a-z_]+\}", "[^/]+", template), path.partition("?")[0])
    ]
    return found[0] if found else path


MALFORMED = {
    "no head": {"name": "x"},
    "a conclusion that GitHub does not know": {"name": "x", "head_sha": "a", "conclusion": "fine"},
    "too many annotations": {
        "name": "x",
        "head_sha": "a",
        "status": "completed",
        "conclusion": "failure",
        "output": {
            "title": "x",
            "summary": "x",
            "annotations": [
                {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "failure", "message": "x"}
            ]
            * 51,
        },
    },
    "a summary that is too long": {
        "name": "x",
        "head_sha": "a",
        "conclusion": "failure",
        "output": {"title": "x", "summary": "x" * 65_536},
    },
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_the_mock_refuses_what_is_not_described(client: Client, body: dict[str, object]) -> None:
    """Were a request malformed, these tests would fail."""
    with pytest.raises(Unusable, match="422"):
        client.send("POST", "/repos/octocat/Hello-World/check-runs", body, repeatable=False)

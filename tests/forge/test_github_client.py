"""Asking GitHub: limits, retries, cache, bounds, and what never leaves."""

from __future__ import annotations

import httpx
import pytest
from simulated_github import API, TOKEN, Clock, SimulatedGitHub, make_github

from muster.forge.github.address import Address
from muster.forge.github.client import LARGEST_ANSWER, MOST_ATTEMPTS, PATIENCE, Client
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable

PULL = "/repos/fleet/meters/pulls/7"


@pytest.fixture
def github() -> SimulatedGitHub:
    return make_github("ada", "title", "body")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(github: SimulatedGitHub, clock: Clock) -> Client:
    return Client(Address.of(API), TOKEN, clock, github)


def answer(status: int, message: str = "", **headers: str) -> httpx.Response:
    """An answer with these headers; underscores stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, json={"message": message})


LIMITS = {
    "it says how long": (answer(403, retry_after="17"), 17.0),
    "too many requests": (answer(429, retry_after="3"), 3.0),
    "it says until when": (
        answer(403, x_ratelimit_remaining="0", x_ratelimit_reset="1800000040"),
        41.0,
    ),
    "a moment that has passed": (answer(429, x_ratelimit_remaining="0", x_ratelimit_reset="1700000000"), 1.0),
    "a secondary limit without a time": (answer(403, "You have exceeded a secondary rate limit."), 60.0),
    "a time that is no number": (answer(429, retry_after="soon"), 60.0),
    "its own failure": (answer(502), 1.0),
    "lost on the way": (httpx.ConnectError("refused"), 1.0),
    "cut off": (httpx.RemoteProtocolError("peer closed"), 1.0),
}


@pytest.mark.parametrize(("first", "waits"), LIMITS.values(), ids=LIMITS)
def test_it_waits_as_long_as_it_is_told(
    github: SimulatedGitHub, clock: Clock, client: Client, first: httpx.Response | Exception, waits: float
) -> None:
    """A request that may be sent again is, after exactly the time that was asked for."""
    github.next_answers = [first]
    assert b'"number": 7' in client.get(PULL)
    assert clock.slept == [waits]


def test_failures_are_asked_again_ever_later(github: SimulatedGitHub, clock: Clock, client: Client) -> None:
    """The pauses double, and come to an end."""
    github.next_answers = [answer(503) for _ in range(MOST_ATTEMPTS)]
    with pytest.raises(TryAgain, match="503"):
        client.get(PULL)
    assert clock.slept == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_patience_has_a_bound(github: SimulatedGitHub, clock: Clock, client: Client) -> None:
    """A limit that lifts in an hour is reported at once, with its length, rather than waited for."""
    github.next_answers = [answer(403, retry_after=str(int(PATIENCE) + 1))]
    with pytest.raises(TryAgain, match="301 s"):
        client.get(PULL)
    assert clock.slept == []


def test_all_waits_together_have_a_bound(github: SimulatedGitHub, clock: Clock, client: Client) -> None:
    """Many short limits are no longer than one."""
    github.next_answers = [answer(429, retry_after="100") for _ in range(10)]
    with pytest.raises(TryAgain):
        client.get(PULL)
    assert sum(clock.slept) <= PATIENCE


def test_what_must_not_happen_twice_is_not_sent_twice(github: SimulatedGitHub, client: Client) -> None:
    """A lost request that creates something is reported; one that was turned away for its number is sent again."""
    github.next_answers = [httpx.ReadTimeout("slow")]
    with pytest.raises(TryAgain):
        client.send("POST", "/repos/fleet/meters/issues/7/comments", {"body": "x"}, repeatable=False)
    assert len(github.asked) == 1
    github.next_answers = [answer(429, retry_after="1")]
    client.send("POST", "/repos/fleet/meters/issues/7/comments", {"body": "x"}, repeatable=False)
    assert [comment["body"] for comment in github.comments] == ["x"]


def test_an_unchanged_answer_costs_no_request_of_the_limit(github: SimulatedGitHub, client: Client) -> None:
    """The second time, GitHub says 304 and the answer is the same; a changed one is read anew."""
    first = client.get(PULL)
    assert client.get(PULL) == first
    assert [status for _, _, status in github.asked] == [200, 304]
    github.pull["title"] = "another"
    assert b"another" in client.get(PULL)
    assert [status for _, _, status in github.asked] == [200, 304, 200]


REFUSED_LINKS = {
    "another host": "https://evil.test/repos?page=2",
    "another scheme": "http://api.github.test/repos?page=2",
    "another port": "https://api.github.test:8443/repos?page=2",
    "a name before the host": "https://api.github.test@evil.test/",
    "credentials": "https://a:b@api.github.test/x",
    "no address": "https://[",
    "a script": "javascript:alert(1)",
    "without scheme": "//evil.test/x",
}


@pytest.mark.parametrize("link", REFUSED_LINKS.values(), ids=REFUSED_LINKS)
def test_links_stay_at_the_origin(github: SimulatedGitHub, client: Client, link: str) -> None:
    """Neither a page nor a redirect leads the token to another place."""
    github.next_answers = [httpx.Response(200, headers={"link": f'<{link}>; rel="next"'}, json=[])]
    with pytest.raises(Unusable, match="another place"):
        list(client.pages(PULL, 5))
    github.next_answers = [httpx.Response(302, headers={"location": link}) for _ in range(MOST_ATTEMPTS)]
    with pytest.raises(MusterError):
        client.get(PULL)
    assert {url.partition("?")[0] for _, url, _ in github.asked} == {API + PULL}


def test_links_stay_below_the_path_of_the_api(github: SimulatedGitHub, clock: Clock) -> None:
    """On a host that serves more than the API, its other paths get nothing."""
    client = Client(Address.of("https://git.test/api/v3/"), TOKEN, clock, github)
    github.next_answers = [
        httpx.Response(200, headers={"link": '<https://git.test/evil/v3>; rel="next"'}, json=[]),
        httpx.Response(200, headers={"link": '<https://git.test/api/v3/../../x>; rel="next"'}, json=[]),
    ]
    for _ in range(2):
        with pytest.raises(Unusable, match="another place"):
            list(client.pages("/repos", 5))


def test_a_renamed_repository_is_followed(github: SimulatedGitHub, client: Client) -> None:
    """A redirect at the origin leads on; a circle ends."""
    github.next_answers = [httpx.Response(301, headers={"location": f"{API}{PULL}"})]
    assert b'"number": 7' in client.get("/repos/old/name/pulls/7")
    github.next_answers = [httpx.Response(301, headers={"location": PULL}) for _ in range(9)]
    with pytest.raises(Unusable, match="circles"):
        client.get(PULL)


def test_writing_is_never_redirected(github: SimulatedGitHub, client: Client) -> None:
    """A redirect of a request that writes is not followed, and not taken for a success."""
    github.next_answers = [httpx.Response(307, headers={"location": f"{API}/elsewhere"})]
    with pytest.raises(Unusable, match="307"):
        client.send("POST", "/repos/fleet/meters/check-runs", {}, repeatable=True)
    assert len(github.asked) == 1


def test_endless_pages_end(github: SimulatedGitHub, client: Client) -> None:
    """A list that always has a next page is refused at the bound."""
    link = {"link": f'<{API}{PULL}?page=2>; rel="next"'}
    github.next_answers = [httpx.Response(200, headers=link, json=[]) for _ in range(50)]
    with pytest.raises(Refused, match="more than 500 items"):
        list(client.pages(PULL, 5))
    assert len(github.asked) == 5


class Drip(httpx.SyncByteStream):
    """A body that comes in pieces; each takes some seconds."""

    def __init__(self, pieces: int, size: int, clock: Clock, seconds: float = 0.0) -> None:
        self._pieces, self._size, self._clock, self._seconds = pieces, size, clock, seconds
        self.given = 0

    def __iter__(self):
        for _ in range(self._pieces):
            self.given += 1
            self._clock.time += self._seconds
            yield b"x" * self._size


def test_a_large_answer_is_not_read_to_its_end(github: SimulatedGitHub, clock: Clock, client: Client) -> None:
    """Reading stops at the bound, whatever would still come."""
    body = Drip(1_000, 2**20, clock)
    github.next_answers = [httpx.Response(200, stream=body)]
    with pytest.raises(Refused, match="more than 16777216 bytes"):
        client.get(PULL)
    assert body.given == LARGEST_ANSWER // 2**20 + 1


def test_a_slow_answer_is_given_up(github: SimulatedGitHub, clock: Clock, client: Client) -> None:
    """One that drips does not hold the gate for ever."""
    github.next_answers = [httpx.Response(200, stream=Drip(1_000, 1, clock, 50.0)) for _ in range(MOST_ATTEMPTS)]
    with pytest.raises(TryAgain, match="took more than"):
        client.get(PULL)


ERRORS = {
    "the token is wrong": (answer(401, "Bad credentials"), Unusable, "token"),
    "the token may not": (answer(403, "Resource not accessible by integration"), Unusable, "may not"),
    "nothing there": (answer(404, "Not Found"), Unusable, "nothing at"),
    "gone": (answer(410, "Gone"), Unusable, "nothing at"),
    "malformed": (answer(422, "Validation Failed"), Unusable, "422"),
    "not JSON": (httpx.Response(418, text="<html>"), Unusable, "418"),
    "deep JSON": (httpx.Response(400, text='{"message":' + "[" * 50_000), Unusable, "400"),
    "a message that is none": (httpx.Response(400, json=["x"]), Unusable, "400"),
}


@pytest.mark.parametrize(("told", "error", "words"), ERRORS.values(), ids=ERRORS)
def test_errors_say_what_to_do(
    github: SimulatedGitHub, client: Client, told: httpx.Response, error: type[MusterError], words: str
) -> None:
    """Each refusal by GitHub becomes one of our errors, with a hint."""
    github.next_answers = [told]
    with pytest.raises(error, match=words) as caught:
        client.get(PULL)
    assert caught.value.hint


SAID = ("\x1b[2J\u202e::error::", f"your token {TOKEN}", "x" * 5_000)


@pytest.mark.parametrize("said", SAID, ids=["controls", "the token", "long"])
def test_messages_are_harmless(github: SimulatedGitHub, client: Client, said: str) -> None:
    """What GitHub says reaches a terminal without control characters, without the token, and short."""
    github.next_answers = [answer(403, said)]
    with pytest.raises(Unusable) as caught:
        client.get(PULL)
    assert caught.value.message.isprintable()
    assert TOKEN not in caught.value.message
    assert len(caught.value.message) < 700


def test_the_token_is_in_no_transport_error(github: SimulatedGitHub, client: Client) -> None:
    """Also when the library quotes what it sent."""
    github.next_answers = [httpx.ConnectError(f"bad header {TOKEN}") for _ in range(MOST_ATTEMPTS)]
    with pytest.raises(TryAgain) as caught:
        client.get(PULL)
    assert TOKEN not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"


@pytest.mark.parametrize("token", ["", "a b", "a\nInjected: yes", "ü", "x" * 1_001], ids=repr)
def test_tokens_fit_a_header(github: SimulatedGitHub, clock: Clock, token: str) -> None:
    """Anything else is refused without being shown."""
    with pytest.raises(Unusable) as caught:
        Client(Address.of(API), token, clock, github)
    assert not token or repr(token) not in str(caught.value)


ADDRESSES = {
    "https://api.github.com": True,
    "https://git.example/api/v3/": True,
    "http://127.0.0.1:4010": True,
    "http://api.github.com": False,
    "http://localhost:4010": False,
    "http://127.0.0.1.evil.test": False,
    "http://127.0.0.1@evil.test": False,
    "https://user:secret@api.github.com": False,
    "https://api.github.com?x=1": False,
    "ftp://127.0.0.1": False,
    "https://": False,
    "https://[": False,
    "": False,
    "\x1b": False,
}


@pytest.mark.parametrize(("text", "good"), ADDRESSES.items(), ids=[repr(text) for text in ADDRESSES])
def test_only_https_or_this_machine(text: str, good: bool) -> None:
    """The token travels encrypted, or not at all."""
    if good:
        assert Address.of(text).base == text.rstrip("/")
        return
    with pytest.raises(Unusable) as caught:
        Address.of(text)
    assert caught.value.message.isprintable()


def test_requests_carry_the_version_of_the_api(github: SimulatedGitHub, clock: Clock) -> None:
    """So that GitHub answers next year as it does today."""
    seen: list[httpx.Headers] = []

    class Watching(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request.headers)
            return github.handle_request(request)

    Client(Address.of(API), TOKEN, clock, Watching()).get(PULL)
    assert seen[0]["x-github-api-version"] == "2022-11-28"
    assert seen[0]["accept"].startswith("application/vnd.github+json")

"""Asking GitHub: bounded in bytes, pages and time, patient with its limits, and without the token in any message.

Rules it keeps:
- A request that was turned away for its number was not carried out, and is sent again. One that failed on the way is
  sent again only if that does no harm.
- An answer is taken from the cache only if GitHub says that it still holds (ETag): reviews change within a minute.
- Time and sleeping are parameters.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from muster import __version__
from muster.forge.github.address import Address
from muster.forge.github.limits import backoff, is_limited, limited_for
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable
from muster.source.git_program import printable

LARGEST_ANSWER: Final = 16 * 2**20
PER_PAGE: Final = 100
MOST_ATTEMPTS: Final = 6
MOST_REDIRECTS: Final = 3
SECONDS: Final = 120.0
"""Longest that one answer may take."""
PATIENCE: Final = 300.0
"""Longest that all waits of one request may take together, in seconds."""
_REDIRECTS = frozenset({301, 302, 307, 308})
_CACHED_ANSWERS = 500
_CACHED_BYTES = 64 * 2**20
_TOKEN = re.compile(r"[!-~]{1,1000}")


@dataclass(frozen=True)
class Clock:
    """Seconds since 1970, and how to let some pass."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


@dataclass(frozen=True)
class Reply:
    """One whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: httpx.URL


class NotAllowed(Unusable):
    """The token is good, and may not do this."""


class Client:
    """Requests to one API with one token. Paths begin with a slash; their parts are quoted by the caller."""

    def __init__(
        self,
        address: Address,
        token: str,
        clock: Clock,
        transport: httpx.BaseTransport | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Raises `Unusable` for a token that no header can carry."""
        if not _TOKEN.fullmatch(token):
            raise Unusable(
                "there is no token for GitHub, or it holds spaces or line ends",
                "set GITHUB_TOKEN; in a workflow: env: GITHUB_TOKEN: ${{ github.token }}",
            )
        self.address = address
        self._token = token
        self._clock = clock
        self._patience = patience
        self._cache = _Cache()
        self._http = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(30, connect=10),
            follow_redirects=False,
            trust_env=not address.is_loopback,
            headers={
                "Accept": "application/vnd.github+json, application/json",
                "Authorization": f"Bearer {token}",
                "User-Agent": f"muster/{__version__}",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )

    def get(self, path: str, **query: str | int) -> bytes:
        """The body of the answer."""
        return self._get(self._url(path, query)).body

    def pages(self, path: str, most: int, **query: str | int) -> Iterator[bytes]:
        """The bodies of all pages, 100 items each. Raises `Refused` where there are more than `most` pages."""
        url = self._url(path, {"per_page": PER_PAGE, **query})
        for _ in range(most):
            reply = self._get(url)
            following = self._next(reply)
            if following is None and _is_full(reply.body):
                # A tag covers the page's items only: it would still hold after an item came behind them.
                self._cache.forget(str(url))
            yield reply.body
            if following is None:
                return
            url = following
        raise Refused(
            f"GitHub lists more than {most * PER_PAGE} items at {printable(path)}",
            "split the pull request into smaller ones",
        )

    def send(self, method: str, path: str, body: Mapping[str, Any], *, repeatable: bool) -> bytes:
        """The answer to a request that writes. `repeatable`: sending it twice does no harm."""
        content = json.dumps(body).encode()
        return self._settled(method, self._url(path, {}), content, repeatable).body

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _url(self, path: str, query: Mapping[str, str | int]) -> httpx.URL:
        url = self.address.to(path)
        return url.copy_merge_params(dict(query)) if query else url

    def _get(self, url: httpx.URL) -> Reply:
        for _ in range(MOST_REDIRECTS + 1):
            reply = self._settled("GET", url, b"", repeatable=True)
            if reply.status not in _REDIRECTS:
                return reply
            url = self.address.within(reply.headers.get("location", ""), url)
        raise Unusable("GitHub redirects in circles", "see that GITHUB_API_URL and GITHUB_REPOSITORY are right")

    def _next(self, reply: Reply) -> httpx.URL | None:
        links = httpx.Response(200, headers={"link": reply.headers.get("link", "")}).links
        link = links.get("next", {}).get("url")
        return self.address.within(link, reply.url) if link else None

    def _settled(self, method: str, url: httpx.URL, content: bytes, repeatable: bool) -> Reply:
        """The last answer, after as many waits as patience allows. Raises for everything that is no success."""
        waited = 0.0
        for attempt in range(MOST_ATTEMPTS):
            wait, problem = backoff(attempt), "GitHub does not answer"
            try:
                reply = self._exchange(method, url, content)
            except TryAgain as error:
                if not repeatable:
                    raise
                problem = error.message
            else:
                if is_limited(reply.status, reply.headers, reply.body):
                    wait = limited_for(reply.headers, self._clock.now(), attempt)
                    problem = "GitHub has had enough requests for now"
                elif reply.status >= 500 and repeatable:
                    problem = f"GitHub fails with {reply.status}{self._said(reply.body)}"
                else:
                    return self._judged(method, reply)
            if waited + wait > self._patience:
                raise TryAgain(f"{problem}; it asks for {wait:.0f} s of patience", "run it again later")
            if attempt + 1 < MOST_ATTEMPTS:
                self._clock.sleep(wait)
                waited += wait
        raise TryAgain(f"{problem}, {MOST_ATTEMPTS} times in a row", "run it again later; see githubstatus.com")

    def _exchange(self, method: str, url: httpx.URL, content: bytes) -> Reply:
        """One request and its whole answer. Raises `TryAgain` if it got lost on the way."""
        cached = self._cache.find(str(url)) if method == "GET" else None
        headers = {"If-None-Match": cached[0]} if cached else {}
        if content:
            headers["Content-Type"] = "application/json"
        started = self._clock.now()
        try:
            with self._http.stream(method, url, content=content or None, headers=headers) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > LARGEST_ANSWER:
                        raise Refused(f"GitHub answers with more than {LARGEST_ANSWER} bytes", "split the pull request")
                    if self._clock.now() - started > SECONDS:
                        raise TryAgain(f"GitHub's answer took more than {SECONDS:.0f} s", "run it again later")
                reply = Reply(
                    response.status_code, {k.lower(): v for k, v in response.headers.items()}, bytes(body), url
                )
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise TryAgain(
                f"GitHub cannot be reached: {self._clean(str(error)) or type(error).__name__}",
                "see whether the network and GITHUB_API_URL are right",
            ) from None
        if method != "GET":
            return reply
        if reply.status == 304 and cached:
            return Reply(200, {**reply.headers, "link": cached[1]}, cached[2], url)
        if reply.status == 200 and "etag" in reply.headers:
            self._cache.keep(str(url), (reply.headers["etag"], reply.headers.get("link", ""), reply.body))
        return reply

    def _judged(self, method: str, reply: Reply) -> Reply:
        if reply.status < 300 or (method == "GET" and reply.status in _REDIRECTS):
            return reply
        raise self._error(reply)

    def _error(self, reply: Reply) -> MusterError:
        said = self._said(reply.body)
        where = printable(reply.url.path)[:200]
        if reply.status == 401:
            return Unusable(f"GitHub does not accept the token{said}", "see that GITHUB_TOKEN is valid")
        if reply.status == 403:
            return NotAllowed(
                f"the token may not do this at {where}{said}",
                "permissions of the job: contents: read, pull-requests: write, checks: write",
            )
        if reply.status in {404, 410}:
            return Unusable(
                f"GitHub has nothing at {where}, or the token may not see it{said}",
                "see GITHUB_REPOSITORY, the number of the pull request, and the permissions of the token",
            )
        if reply.status >= 500:
            return TryAgain(
                f"GitHub fails with {reply.status} at {where}{said}", "it may have been done; run it again later"
            )
        return Unusable(
            f"GitHub answers {reply.status} at {where}{said}", "please report it: the request was malformed"
        )

    def _said(self, body: bytes) -> str:
        try:
            message = json.loads(body[:20_000]).get("message")
        except (ValueError, AttributeError, RecursionError):
            return ""
        return f": {self._clean(message)}" if isinstance(message, str) and message else ""

    def _clean(self, text: str) -> str:
        return printable(text.replace(self._token, "***"))[:300]


def _is_full(body: bytes) -> bool:
    """True if a page may have no room for one more item."""
    try:
        return len(json.loads(body)) >= PER_PAGE
    except (ValueError, TypeError, RecursionError):
        return True


class _Cache:
    """Answers by URL, with their ETag and links; what was not asked for longest goes first."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, tuple[str, str, bytes]] = OrderedDict()
        self._bytes = 0

    def find(self, url: str) -> tuple[str, str, bytes] | None:
        """ETag, links and body."""
        if url in self._answers:
            self._answers.move_to_end(url)
        return self._answers.get(url)

    def forget(self, url: str) -> None:
        """Ask anew the next time."""
        former = self._answers.pop(url, None)
        self._bytes -= len(former[2]) if former else 0

    def keep(self, url: str, answer: tuple[str, str, bytes]) -> None:
        """Remember an answer."""
        self.forget(url)
        self._bytes += len(answer[2])
        self._answers[url] = answer
        while self._bytes > _CACHED_BYTES or len(self._answers) > _CACHED_ANSWERS:
            self._bytes -= len(self._answers.popitem(last=False)[1][2])

"""Where the API is, and where it is not: no request, page or redirect leaves the origin that the operator named."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

from muster.kinds.errors import Unusable
from muster.source.git_program import printable

LOOPBACK = "127.0.0.1"
PUBLIC = "https://api.github.com"

_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True)
class Address:
    """The base of the REST API, without a slash at its end."""

    base: str

    @classmethod
    def of(cls, text: str) -> Address:
        """Raises `Unusable` unless it is https, or http on 127.0.0.1, without name, query or fragment."""
        url = _url(text)
        plain = url.scheme == "http" and url.host == LOOPBACK
        odd = url.userinfo or url.query or url.fragment or not _HOST.fullmatch(url.raw_host.decode("ascii", "replace"))
        if (url.scheme != "https" and not plain) or odd:
            raise Unusable(
                f"not an address of the GitHub API: {printable(text)[:200]!r}",
                f"set GITHUB_API_URL to {PUBLIC} or https://HOST/api/v3",
            )
        return cls(str(url).rstrip("/"))

    @property
    def is_loopback(self) -> bool:
        """True if requests stay on this machine."""
        return httpx.URL(self.base).host == LOOPBACK

    def to(self, path: str) -> httpx.URL:
        """The URL of a path that begins with a slash and whose parts are quoted."""
        return httpx.URL(self.base + path)

    def within(self, link: str, at: httpx.URL) -> httpx.URL:
        """A link of an answer to `at`. Raises `Unusable` if it leaves the API."""
        base = httpx.URL(self.base)
        try:
            url = at.join(link[:4_000])
        except (httpx.InvalidURL, ValueError):
            url = httpx.URL("")
        same = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
        inside = re.sub(r"/$", "", base.path) + "/"
        if not same or not url.path.startswith(inside) or url.userinfo or "/../" in f"{url.path}/":
            raise Unusable(
                f"GitHub answers with a link to another place: {printable(link)[:200]!r}",
                "nothing was sent there; see who answers at GITHUB_API_URL",
            )
        return url


def _url(text: str) -> httpx.URL:
    try:
        return httpx.URL(text)
    except (httpx.InvalidURL, ValueError, TypeError):
        return httpx.URL("")

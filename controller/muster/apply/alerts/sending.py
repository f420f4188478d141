"""One POST and what came of it: bounded in time and bytes, no redirect followed, nothing of the answer kept.

An answer says yes with a status of 200 to 299 and arrives whole, or is longer than anybody needs to read. Everything
else is no; what would be refused in the same way again is not tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import httpx

from muster.apply.alerts.destination import Destination, Network, destinations
from muster.apply.alerts.messages import Message, common_headers
from muster.kinds.errors import MusterError

# At INFO it writes every URL into the log, and that of a Slack-compatible channel is a secret.
logging.getLogger("httpx").setLevel(logging.WARNING)

SECONDS: Final = 20.0
LARGEST_ANSWER: Final = 64 * 1024
_FINAL: Final = frozenset({400, 405, 410, 411, 413, 414, 415, 422, 431})
"""Said of the request itself. 401, 403 and 404 are not among them: somebody may put that right within a day."""
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Taken:
    """The channel has it."""


@dataclass(frozen=True)
class NotTaken:
    """Why not; `final`: it would be refused again. `again` is the pause that the other side asked for."""

    why: str
    final: bool = False
    again: timedelta | None = None


Outcome = Taken | NotTaken


async def post(url: httpx.URL, message: Message, opened: Sequence[Network], seconds: float = SECONDS) -> Outcome:
    """Send once. No error comes out, and no URL in any text."""
    try:
        async with asyncio.timeout(seconds):
            return await _exchange(url, message, opened)
    except TimeoutError:
        return NotTaken(f"no whole answer within {seconds:g} s")
    except MusterError as error:
        return NotTaken(error.message)
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError) as error:
        # Texts of these errors quote URLs and headers.
        return NotTaken(f"the connection failed: {_kind(error)}")


async def _exchange(url: httpx.URL, message: Message, opened: Sequence[Network]) -> Outcome:
    *others, last = await destinations(url, opened)
    for to in others:
        # Nothing was sent yet: another address of the same host may be reached.
        with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return await _exchange_with(to, message)
    return await _exchange_with(last, message)


async def _exchange_with(to: Destination, message: Message) -> Outcome:
    async with httpx.AsyncClient(
        verify=ssl.create_default_context() if to.url.scheme == "https" else False,
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(SECONDS, connect=10.0),
    ) as client:
        request = client.build_request(
            "POST",
            to.url,
            headers={**common_headers(), **message.headers, "host": to.host},
            content=message.content,
            extensions={"sni_hostname": to.name} if to.name else {},
        )
        answer = await client.send(request, stream=True)
        try:
            read = 0
            async for chunk in answer.aiter_raw():
                read += len(chunk)
                if read > LARGEST_ANSWER:
                    break
        finally:
            await answer.aclose()
    return judged(answer.status_code, answer.headers.get("retry-after", ""))


def judged(status: int, retry_after: str = "") -> Outcome:
    """What a status means."""
    if 200 <= status < 300:
        return Taken()
    if 300 <= status < 400:
        return NotTaken(f"answered {status}: redirects are not followed, name the final address", final=True)
    asked = timedelta(seconds=int(retry_after)) if _SECONDS.fullmatch(retry_after) else None
    return NotTaken(f"answered {status}", final=status in _FINAL, again=asked)


def _kind(error: Exception) -> str:
    cause = error.__cause__ or error.__context__
    if isinstance(error, httpx.ConnectError) and "certificate" in str(error).lower():
        return "the certificate does not fit"
    return f"{type(error).__name__}" + (f" ({type(cause).__name__})" if cause is not None else "")

"""Where a message may go. A declaration names the URL, and must not turn the controller into a way into its network.

Rules it keeps:
- https; plain http only into networks that the operator opened (`muster run --alert-network`).
- Only to public addresses, and to those networks. The name is looked up once; what was found is checked, and that very
  address is connected to, so that another answer of the name server changes nothing.
- No name or password in a URL. No proxy: it would look names up by itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from muster.kinds.errors import Refused, TryAgain, Unusable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
MOST_TRIED: Final = 4
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Destination:
    """`url` holds the address that was checked; `host` goes into the header, `name` into the TLS handshake."""

    url: httpx.URL
    host: str
    name: str | None


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks as an operator writes them. Raises `Unusable`."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise Unusable(f"not a network: {error}", "write it as 10.1.0.0/16") from None


def parse_url(text: str) -> httpx.URL:
    """Raises `Unusable`, without the text in the message: it may be a secret."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        url = httpx.URL("")
    if url.scheme not in ("https", "http") or not url.host or url.userinfo or url.fragment:
        raise Unusable(
            "the channel's URL is none that can be sent to", "write https://HOST/PATH, without name and password"
        )
    return url


async def destinations(url: httpx.URL, opened: Sequence[Network]) -> tuple[Destination, ...]:
    """Where to connect for `url`, best first, four at most.

    Raises `Refused` if that is nowhere it may go, `TryAgain` if no name server tells.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise TryAgain(
            "the name of the channel's host is not known", "see the channel's URL, and the network"
        ) from None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    allowed = [address for address in addresses if _may_go(address, url.scheme, opened)]
    if not allowed:
        raise Refused(
            "the channel's host is in no network that alerts may be sent to"
            if url.scheme == "https"
            else "plain http is sent only into networks that the operator opened",
            "use a public https address, or open the network: muster run --alert-network 10.1.0.0/16",
        )
    literals = dict.fromkeys(str(address) for address in allowed)
    host = url.netloc.decode("ascii")
    return tuple(
        Destination(url.copy_with(host=literal), host, None if url.host == literal else url.host)
        for literal in list(literals)[:MOST_TRIED]
    )


def _may_go(address: _Address, scheme: str, opened: Sequence[Network]) -> bool:
    meant = _meant(address)
    if any(meant.version == network.version and meant in network for network in opened):
        return True
    return scheme == "https" and meant.is_global and not meant.is_multicast and not meant.is_reserved


def _meant(address: _Address) -> _Address:
    """The address behind one that only wraps it."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address

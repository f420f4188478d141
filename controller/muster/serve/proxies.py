"""What a proxy says of those behind it: who their certificate names, and from which address they came.

Believed only if the connection itself comes from an address that the owner named. From anywhere else the same headers
are words of a stranger, and count for nothing. The proxy must replace these headers, not pass on what a client sent.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from muster.kinds.errors import Unusable
from muster.serve.answers import HttpError
from muster.serve.asking import Asking

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_VERIFIED = "SUCCESS"
_NONE = ("", "NONE")
_FORWARDED_MOST = 32


@dataclass(frozen=True)
class Proxies:
    """Networks of proxies that are trusted, and their headers.

    `name`: the certificate's common name, which is the device's id. `verified`: SUCCESS if the proxy verified the
    certificate, NONE if there was none (nginx: `$ssl_client_verify`). `address`: as X-Forwarded-For.
    """

    networks: tuple[Network, ...] = ()
    name: str = "X-Ssl-Client-Cn"
    verified: str = "X-Ssl-Client-Verify"
    address: str = "X-Forwarded-For"

    @classmethod
    def of(cls, networks: Iterable[str], headers: Mapping[str, str | None]) -> Proxies:
        """From what a person typed; a header that is None is called as above. Raises `Unusable`."""
        name, verified, address = (headers.get(what) or getattr(cls, what) for what in ("name", "verified", "address"))
        for header in (name, verified, address):
            if not _HEADER.fullmatch(header):
                raise Unusable(f"not the name of a header: {header!r}", f"write {cls.name}")
        if len({name.lower(), verified.lower(), address.lower()}) < 3:
            raise Unusable("each thing that a proxy says needs a header of its own")
        try:
            found = tuple(ipaddress.ip_network(network) for network in networks)
        except ValueError as error:
            raise Unusable(f"not a network: {error}", "write 10.1.2.3 or 10.1.0.0/16") from error
        return cls(found, name, verified, address)

    def certified(self, request: Asking) -> str | None:
        """The device that a certificate names, or None without one. Raises `HttpError` if it does not hold."""
        if not self.networks or not self._trusted(_peer(request)):
            return None
        said = _one(request, self.verified)
        if said in _NONE:
            return None
        name = _one(request, self.name)
        if said != _VERIFIED:
            raise HttpError(401, "the proxy did not verify the certificate")
        if not _DEVICE_ID.fullmatch(name):
            raise HttpError(401, "the certificate names no device")
        return name

    def address_of(self, request: Asking) -> str:
        """Who asks, as limits count: an IPv4 address, or the /64 of an IPv6 one, of which a host has many."""
        address = _peer(request)
        if self._trusted(address):
            forwarded = ",".join(request.headers.getlist(self.address)).split(",")[-_FORWARDED_MOST:]
            for hop in reversed([part.strip() for part in forwarded]):
                if not _is_address(hop):
                    break
                address = hop
                if not self._trusted(hop):
                    break
        return _counted(address)

    def _trusted(self, address: str) -> bool:
        if not self.networks or not _is_address(address):
            return False
        found = ipaddress.ip_address(address)
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.networks)


def _peer(request: Asking) -> str:
    return request.client.host if request.client else ""


def _one(request: Asking, header: str) -> str:
    """The header's value; two of them could have come from two hands."""
    values = request.headers.getlist(header)
    if len(values) > 1:
        raise HttpError(400, f"{header} is there more than once")
    return values[0].strip() if values else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _counted(address: str) -> str:
    if not _is_address(address):
        return "unknown"
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)

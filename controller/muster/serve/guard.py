"""Who may ask, and how often. Everything that is refused here costs one look into memory.

| limit       | counted for                  | what it is about                                            |
|-------------|------------------------------|--------------------------------------------------------------|
| `device`    | each device that proved itself| its requests                                                 |
| `strangers` | each address                 | requests that proved nothing: guessing, and devices unknown  |
| `enrolments`| each address                 | enrolments that are asked for, whatever comes of them        |
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from muster.serve.answers import HttpError
from muster.serve.asking import Asking
from muster.serve.limits import Limiter, Rate
from muster.serve.metrics import LIMITED
from muster.serve.proxies import Proxies

DEVICE, STRANGERS, ENROLMENTS = Rate(300, 10), Rate(60, 1), Rate(500, 20)


@dataclass(frozen=True)
class Rates:
    """The limits. A fleet behind one address shares what is counted for addresses."""

    device: Rate = DEVICE
    strangers: Rate = STRANGERS
    enrolments: Rate = ENROLMENTS


@dataclass(frozen=True)
class Access:
    """What `muster run` is told of who may ask."""

    proxies: Proxies = field(default_factory=Proxies)
    rates: Rates = field(default_factory=Rates)


class Guard:
    """The limits of one process. Every method raises `HttpError` 429, with Retry-After, where a limit is reached."""

    def __init__(self, access: Access, timer: Callable[[], float] = time.monotonic) -> None:
        self.proxies = access.proxies
        self._devices = Limiter(access.rates.device, timer=timer)
        self._strangers = Limiter(access.rates.strangers, timer=timer)
        self._enrolments = Limiter(access.rates.enrolments, timer=timer)

    def before_proof(self, request: Asking, device_id: str | None = None) -> None:
        """Refuse an address that proved nothing too often. A device that is known here is looked at all the same:
        its neighbours at that address are not its fault.
        """
        if device_id is None or not self._devices.knows(device_id):
            _refuse("strangers", self._strangers.wait(self.proxies.address_of(request)))

    def proved_nothing(self, request: Asking) -> None:
        """Count it."""
        _refuse("strangers", self._strangers.take(self.proxies.address_of(request)))

    def device(self, device_id: str) -> None:
        """Count a request of a device that proved itself."""
        _refuse("device", self._devices.take(device_id))

    def enrolment(self, request: Asking) -> None:
        """Count an enrolment that is asked for."""
        self.before_proof(request)
        _refuse("enrolments", self._enrolments.take(self.proxies.address_of(request)))


def _refuse(limit: str, wait: float) -> None:
    if not wait:
        return
    LIMITED.labels(limit).inc()
    seconds = math.ceil(wait)
    raise HttpError(429, "too many requests", f"ask again after {seconds} s", headers={"Retry-After": str(seconds)})

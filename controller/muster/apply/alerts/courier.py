"""The courier: takes what is due from the outbox to its channels, in a thread of its own.

Rules it keeps:
- At least once: a delivery is recorded after the channel took it. A crash in between sends it again, under the same id.
- Channels do not wait for each other. Within one, an alert that fails makes all others wait for a minute at most, so
  that a channel that is down is asked seldom, and those about the same subject until it is taken or given up, so that
  what is over is not told before what was wrong.
- What is declared counts at the moment of sending: a corrected URL is used for what waits already.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from muster.apply.alerts import outbox
from muster.apply.alerts.alert import Alert
from muster.apply.alerts.destination import Network, parse_url
from muster.apply.alerts.messages import cloud_event, slack, webhook
from muster.apply.alerts.on_forge import OpenForge, github_at, post_status
from muster.apply.alerts.outbox import Delivery
from muster.apply.alerts.secrets import hmac_key, read_secret
from muster.apply.alerts.sending import SECONDS, NotTaken, Outcome, Taken, post
from muster.kinds.channel import Channel, CloudEventsTarget, CommitStatusTarget, SlackTarget, WebhookTarget
from muster.kinds.errors import MusterError
from muster.observe.storage import writing

log = logging.getLogger("muster")

LONGEST_REST: Final = timedelta(minutes=1)
IDLE_SECONDS: Final = 2.0
_PRUNED_EVERY: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Surroundings:
    """What a courier is given besides declarations: where secrets stand, which networks are open, who it speaks for.

    `source` is the URI that events name as theirs.
    """

    state: Path
    environ: Mapping[str, str]
    source: str
    opened: Sequence[Network] = ()
    seconds: float = SECONDS

    @classmethod
    def of(cls, networks: Sequence[Network], state: Path, signer: str) -> Surroundings:
        """As the process was started. `signer` is the public half (PEM) of the controller's key."""
        name = hashlib.sha256(signer.strip().encode()).hexdigest()[:32]
        return cls(state, os.environ, f"urn:muster:controller:{name}", networks)

    def forge(self) -> OpenForge:
        """How commit statuses are posted."""
        return github_at(self.environ.get("GITHUB_API_URL"))


class Courier:
    """`deliver_due` makes one round; `start` makes rounds in a thread until `stop`."""

    def __init__(self, engine: Engine, surroundings: Surroundings) -> None:
        self.channels: Mapping[str, Channel] = {}
        self._engine = engine
        self._surroundings = surroundings
        self._rests: dict[str, datetime] = {}
        self._pruned: datetime | None = None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def declare(self, channels: Sequence[Channel]) -> None:
        """These are the channels from here on."""
        self.channels = {channel.metadata.name: channel for channel in channels}

    def start(self) -> None:
        """Make rounds in the background. The process may end while one is under way: nothing is lost by that."""
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Make a round soon."""
        self._wake.set()

    def stop(self, seconds: float = SECONDS + 5) -> None:
        """Finish the round that runs, and wait for it so long."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def deliver_due(self, now: datetime) -> int:
        """Try every delivery that is due once; how many were taken."""
        resting = [name for name, until in self._rests.items() if until > now]
        with self._engine.connect() as connection:
            found = outbox.due(connection, now, without=resting)
        by_channel: dict[str, list[Delivery]] = {}
        for delivery in found:
            by_channel.setdefault(delivery.channel, []).append(delivery)
        return asyncio.run(self._round(by_channel, now)) if by_channel else 0

    async def _round(self, by_channel: Mapping[str, Sequence[Delivery]], now: datetime) -> int:
        taken = await asyncio.gather(*(self._channel(name, found, now) for name, found in by_channel.items()))
        return sum(taken)

    async def _channel(self, name: str, found: Sequence[Delivery], now: datetime) -> int:
        """One channel's deliveries in their order, until one is not taken; how many were."""
        taken = 0
        for delivery in found:
            outcome = await self.send(delivery.alert, self.channels.get(name), now)
            if not self._record(delivery, outcome, now):
                break
            taken += isinstance(outcome, Taken)
        return taken

    async def send(self, alert: Alert, channel: Channel | None, now: datetime) -> Outcome:
        """Try once, whatever the outbox says."""
        if channel is None:
            return NotTaken("no such channel is declared any more", final=True)
        try:
            return await self._by_format(alert, channel, now)
        except MusterError as error:
            return NotTaken(error.message)

    async def _by_format(self, alert: Alert, channel: Channel, now: datetime) -> Outcome:
        at = self._surroundings
        match channel.spec.target:
            case WebhookTarget(url=url, secret=secret):
                message = webhook(alert, hmac_key(secret, at.state, at.environ), now)
            case CloudEventsTarget(url=url, secret=signed) as target:
                key = hmac_key(signed, at.state, at.environ) if signed else None
                message = cloud_event(alert, at.source, target.mode, key, now)
            case SlackTarget(url=hidden):
                url, message = read_secret(hidden, at.state, at.environ), slack(alert)
            case CommitStatusTarget(repository=repository, token=token):
                secret_text = read_secret(token, at.state, at.environ)
                return await asyncio.to_thread(post_status, alert, repository, secret_text, at.forge())
        return await post(parse_url(url), message, at.opened, at.seconds)

    def _record(self, delivery: Delivery, outcome: Outcome, now: datetime) -> bool:
        """Write down what came of it; True if the channel may be asked for the next one at once."""
        with writing(self._engine) as connection:
            match outcome:
                case Taken():
                    outbox.delivered(connection, delivery, now)
                    return True
                case NotTaken(why=why, final=final, again=again):
                    at = outbox.not_delivered(connection, delivery, why, now, again, final=final)
        if at is None:
            log.warning("alert %s did not reach %s and is given up: %s", delivery.alert.key, delivery.channel, why)
            return True
        log.warning("alert %s did not reach %s: %s; again at %s", delivery.alert.key, delivery.channel, why, at)
        self._rests[delivery.channel] = min(at, now + LONGEST_REST)
        return False

    def _run(self) -> None:
        while not self._stop.is_set():
            now = datetime.now(UTC)
            try:
                self._prune(now)
                self.deliver_due(now)
            except MusterError as error:
                log.warning("alerts: %s", error.message)
            except Exception as error:  # noqa: BLE001 - the thread goes on, as the loop does
                # No details: they may quote a channel's URL.
                log.error("alerts: internal error: %s", type(error).__name__)  # noqa: TRY400
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()

    def _prune(self, now: datetime) -> None:
        if self._pruned is None or now - self._pruned > _PRUNED_EVERY:
            self._pruned = now
            with writing(self._engine) as connection:
                outbox.prune(connection, now)

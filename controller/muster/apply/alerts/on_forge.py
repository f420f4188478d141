"""An alert as the status of the commit that it is about, on the forge where people look at commits.

One context for each release (or condition), so that what is over replaces what was wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from muster.apply.alerts.alert import Alert
from muster.apply.alerts.sending import NotTaken, Outcome, Taken
from muster.forge.forge import CommitStatus, Forge, State
from muster.kinds.errors import MusterError

_STATES: Final[dict[str, State]] = {"error": "failure", "warning": "pending", "info": "success"}

OpenForge = Callable[[str, str], Forge]
"""(repository, token) → the forge."""


def status_of(alert: Alert) -> CommitStatus:
    """What the commit is shown with."""
    state: State = "success" if alert.state == "resolved" else _STATES[alert.severity]
    return CommitStatus(f"muster / {alert.subject}", state, f"{alert.reason}: {alert.summary}")


def post_status(alert: Alert, repository: str, token: str, open_forge: OpenForge) -> Outcome:
    """Show the status once. An alert about no commit has nowhere to be shown."""
    if alert.commit is None:
        return NotTaken("the alert is about no commit", final=True)
    try:
        open_forge(repository, token).post_status(alert.commit, status_of(alert))
    except MusterError as error:
        return NotTaken(error.message)
    return Taken()


def github_at(api: str | None) -> OpenForge:
    """GitHub at the operator's address, else the public one. Each call asks once: the outbox has the patience."""

    def open_forge(repository: str, token: str) -> Forge:
        from muster.forge.github.address import PUBLIC, Address
        from muster.forge.github.client import Client, Clock
        from muster.forge.github.driver import GitHub

        client = Client(Address.of(api or PUBLIC), token, Clock(time.time, time.sleep), patience=0)
        return GitHub(client, repository)

    return open_forge

"""The controller's process: the loop in a thread, HTTP in the main thread, one signal handler for both."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from starlette.applications import Starlette

from muster.apply.state_folder import hold_state
from muster.attest.state_keys import StateKeys
from muster.daemon import Controller, Loop, Settings, Tick
from muster.kinds.errors import Unusable
from muster.serve.application import ANYONE, ServeFolders, build_application
from muster.serve.fleet_view import FleetView
from muster.serve.guard import Access
from muster.serve.metrics import TICK_SECONDS, TICKS
from muster.serve.server import run_server
from muster.source.watch import watch_refs

log = logging.getLogger("muster")

# A loop that missed this many intervals is not ready.
PATIENCE_INTERVALS = 5


def run_process(settings: Settings, host: str, port: int, access: Access = ANYONE) -> int:
    """Serve and reconcile until SIGTERM or SIGINT; 0 after a clean end."""
    with hold_state(settings.state):
        return _run_held(settings, host, port, access)


def _run_held(settings: Settings, host: str, port: int, access: Access) -> int:
    _refuse_taken_address(host, port)
    loop = Loop(settings)
    keys = StateKeys.of(settings.state)
    application = build_application(
        loop.controller.engine,
        FleetView(loop.controller.engine, loop.controller.publisher.published),
        ServeFolders(
            settings.state / "public",
            keys.enrolment_token_path,
            keys.operator_token_path,
            settings.state / "store",
            settings.state,
            keys.gateway_token_path,
        ),
        patience=max(settings.interval * PATIENCE_INTERVALS, timedelta(seconds=60)),
        wake=loop.wake,
        access=access,
    )
    thread = threading.Thread(target=loop.run, args=(_log_tick,), name="loop", daemon=True)
    log.info("muster serves on http://%s:%s and reconciles %s", host, port, settings.repository)
    with watch_refs(settings.repository, loop.wake):
        thread.start()
        uvloop.run(_serve(application, settings.state / "public", host, port))
        log.info("stopping: the tick that runs is finished first")
        loop.stop()
        thread.join()
    return 0


def reconcile_once(settings: Settings) -> int:
    """Tick until no step and no build is left; 0 if everything was carried out, 1 if something failed or waits."""
    with hold_state(settings.state):
        return _reconcile_held(settings)


def _reconcile_held(settings: Settings) -> int:
    woken = threading.Event()
    controller = Controller(settings, wake=woken.set)
    try:
        while True:
            done = controller.tick(datetime.now(UTC))
            _log_tick(done, 0.0)
            if done is None:
                raise Unusable("nothing valid is declared", "run `muster check` on the repository")
            if done.is_done:
                return 0
            if controller.is_building:
                woken.wait()
                woken.clear()
            elif not done.plan.actions or done.failed:
                return 1
    finally:
        controller.courier.deliver_due(datetime.now(UTC))
        controller.close()


def _refuse_taken_address(host: str, port: int) -> None:
    """The server would share an address with another process, and devices would reach either of them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # Connections of a former process may linger on the port; a listener is what matters.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Unusable(
                f"cannot listen on {host}:{port}: {error.strerror}", "choose another with --listen"
            ) from error


async def _serve(application: Starlette, public: Path, host: str, port: int) -> None:
    stopped = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stopped.set)
    await run_server(application, public, host, port, stopped, application.state.direct)


def _log_tick(done: Tick | None, seconds: float) -> None:
    TICKS.labels("planned" if done else "nothing-declared").inc()
    TICK_SECONDS.observe(seconds)
    if done is None:
        return
    reasons = {failure.action: failure.reason for failure in done.failed}
    for action in done.plan.actions:
        if action in reasons:
            log.warning("%s: %s (failed: %s)", type(action).__name__.lower(), _subject(action), reasons[action])
        else:
            log.info("%s: %s", type(action).__name__.lower(), _subject(action))


def _subject(action: object) -> str:
    release = getattr(action, "release", None)
    reason = getattr(action, "reason", None)
    if release is None:
        return f"generation {getattr(action, 'generation', '?')}"
    return f"{release}: {reason}" if reason else str(release)


class _JsonLines(logging.Formatter):
    """One JSON object a line, for whatever collects logs."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat()
        said = {"at": at, "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            said["details"] = self.formatException(record.exc_info)
        return json.dumps(said)


def log_to_stderr(*, as_json: bool) -> None:
    """Send the log to standard error, as text or as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])

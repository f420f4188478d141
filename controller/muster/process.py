"""The controller's process: the loop in a thread, HTTP in the main thread, one signal handler for both."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

from starlette.applications import Starlette

from muster.attest.state_keys import StateKeys
from muster.daemon import Controller, Loop, Settings
from muster.kinds.errors import Unusable
from muster.plan.planner import Plan, Prepare
from muster.serve.application import ServeFolders, build_application
from muster.serve.fleet_view import FleetView
from muster.serve.metrics import TICK_SECONDS, TICKS
from muster.serve.server import run_server
from muster.source.watch import watch_refs

log = logging.getLogger("muster")

# A loop that missed this many intervals is not ready.
PATIENCE_INTERVALS = 5


def run_process(settings: Settings, host: str, port: int) -> int:
    """Serve and reconcile until SIGTERM or SIGINT; 0 after a clean end."""
    loop = Loop(settings)
    keys = StateKeys.of(settings.state)
    application = build_application(
        loop.controller.engine,
        FleetView(loop.controller.engine, loop.controller.publisher.published),
        ServeFolders(settings.state / "public", keys.enrolment_token_path, keys.operator_token_path),
        patience=max(settings.interval * PATIENCE_INTERVALS, timedelta(seconds=60)),
    )
    thread = threading.Thread(target=loop.run, args=(_log_tick,), name="loop", daemon=True)
    log.info("muster serves on http://%s:%s and reconciles %s", host, port, settings.repository)
    with watch_refs(settings.repository, loop.wake):
        thread.start()
        asyncio.run(_serve(application, host, port))
        log.info("stopping: the tick that runs is finished first")
        loop.stop()
        thread.join()
    return 0


def reconcile_once(settings: Settings) -> int:
    """Tick until no build is under way; 0 if everything that was planned was carried out."""
    controller = Controller(settings)
    try:
        while True:
            plan = controller.tick(datetime.now(UTC))
            if plan is None:
                raise Unusable("nothing valid is declared", "run `muster check` on the repository")
            if not any(isinstance(action, Prepare) for action in plan.actions) and not _building(plan):
                return 0
            time.sleep(0.2)
    finally:
        controller.close()


def _building(plan: Plan) -> bool:
    return any(wait.step == "prepare" and wait.reason == "being built" for wait in plan.waits)


async def _serve(application: Starlette, host: str, port: int) -> None:
    stopped = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stopped.set)
    await run_server(application, host, port, stopped)


def _log_tick(plan: Plan | None, seconds: float) -> None:
    TICKS.labels("planned" if plan else "nothing-declared").inc()
    TICK_SECONDS.observe(seconds)
    for action in plan.actions if plan else ():
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

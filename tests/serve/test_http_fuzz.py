"""Schemathesis against a real server: a few seconds of what `make fuzz` does for five minutes."""

from __future__ import annotations

from pathlib import Path

from http_fuzz import fuzz


def test_no_request_is_answered_with_a_server_error(tmp_path: Path) -> None:
    """No 5xx, and every answer is one that the OpenAPI document has; every handler is reached."""
    done = fuzz(tmp_path, 1, None, "--phases=fuzzing", "--max-examples=2")
    assert done.server_errors == {}
    assert done.exit_code == 0, done.said[-4_000:]
    reached = {name for name, _ in done.counts}
    assert {
        "DeviceRoutes.report_directly",
        "EnrolmentRoutes.enrol",
        "EnrolmentRoutes.secret",
        "PublishedFiles",
    } <= reached
    assert {"DdiRoutes.deployment", "DdiRoutes.feedback", "DdiRoutes.download"} <= reached
    assert {"DdiRoutes.poll", "DdiRoutes.config_data"} <= done.handlers(200)
    assert {"InventoryRoutes.devices", "OperatorRoutes.ledger", "CaptureRoutes.erase"} <= done.handlers(200)

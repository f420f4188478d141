"""The peer of `serve_load.py`: reports taken as the first tutorial would. FastAPI, pydantic, one commit a report.

`NAIVE_DATABASE`: the file. `NAIVE_SYNCHRONOUS`: FULL (a commit survives a power cut, as Muster's) or NORMAL (it may
not). It knows no secrets, judges nothing, and keeps one row a device.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Annotated

from fastapi import FastAPI
from pydantic import Field

from muster.kinds.telemetry import Report

COLUMNS = ("device_id", "sequence", "model", "device_class", "generation", "release", "phase", "error_code")
COLUMNS += ("model_hash", "config_version", "runtime_version", "delegate_active", "p50_ms", "p95_ms", "peak_ram_mb")
UPSERT = (
    f"INSERT INTO reports ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "  # noqa: S608 - our own names
    f"ON CONFLICT (device_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS[1:])}"
)

app = FastAPI()
database = sqlite3.connect(os.environ["NAIVE_DATABASE"], check_same_thread=False)
database.execute("PRAGMA journal_mode=WAL")
database.execute(f"PRAGMA synchronous={os.environ['NAIVE_SYNCHRONOUS']}")
database.execute(f"CREATE TABLE IF NOT EXISTS reports ({', '.join(COLUMNS)}, PRIMARY KEY (device_id))")
database.commit()


@app.post("/v1/reports")
async def take(reports: Annotated[list[Report], Field(min_length=1, max_length=1_000)]) -> dict[str, int]:
    """One transaction for each report."""
    for report in reports:
        database.execute(UPSERT, [getattr(report, name) for name in COLUMNS])
        database.commit()
    return {"accepted": len(reports)}

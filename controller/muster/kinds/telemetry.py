"""What a device reports: the fixed keys, and the envelope around them.

A report speaks of two things that must not be mixed: `release` and `phase` say how far the device came with what it
was offered; `model_hash` and `config_version` say what it runs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from muster.kinds.digest import DeviceId, Digest, ExactVersion, Name
from muster.kinds.phases import Phase

ErrorCode = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
ReleaseName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,63}/[0-9.]{5,29}$")]
Milliseconds = Annotated[float, Field(ge=0, le=86_400_000)]


class Report(BaseModel):
    """One report of one device about one model. Sequence numbers rise by one and never start again."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    device_id: DeviceId
    sequence: Annotated[int, Field(ge=1, le=2**53 - 1)]
    model: Name
    device_class: Name
    generation: Annotated[int, Field(ge=0, le=2**53 - 1)]
    release: ReleaseName | None
    phase: Phase | None
    error_code: ErrorCode | None = None

    model_hash: Digest | None
    config_version: Digest | None
    runtime_version: ExactVersion
    delegate_active: Annotated[str, StringConstraints(max_length=64)] | None = None
    load_time_ms: Milliseconds | None = None
    p50_ms: Milliseconds | None = None
    p95_ms: Milliseconds | None = None
    peak_ram_mb: Annotated[float, Field(ge=0, le=1e9)] | None = None
    dropped_frames: Annotated[int, Field(ge=0, le=2**53 - 1)] = 0
    thermal_state: Literal["nominal", "fair", "serious", "critical", "unknown"] = "unknown"

    inferences: Annotated[int, Field(ge=0, le=2**53 - 1)] = 0
    confident_ppm: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    downloads: Annotated[int, Field(ge=0, le=2**53 - 1)] = 0
    """Artifacts downloaded in full since the device was set up: a rollback to a kept slot does not raise it."""

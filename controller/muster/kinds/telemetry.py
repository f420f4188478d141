"""What a device reports: the fixed keys, and the envelope around them.

A report speaks of two things that must not be mixed: `release` and `phase` say how far the device came with what it
was offered; `model_hash` and `config_version` say what it runs.

Fields are only added, each with a default, and what says nothing is left out: a report of an older agent reads as
before. A controller takes no field that it does not know, so it is brought up to date before its devices.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from muster.kinds.digest import DeviceId, Digest, ErrorCode, ExactVersion, Name, ReleaseName
from muster.kinds.phases import Phase
from muster.kinds.resource import AsTuple

Milliseconds = Annotated[float, Field(ge=0, le=86_400_000)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
Ppm = Annotated[int, Field(ge=0, le=1_000_000)]
OsVersion = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$")]
UtcText = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
Way = Literal["nothing", "parts", "delta", "full"]
"""How an artifact came: it was there; some of its parts; the differences to another; as a whole."""
Values = Annotated[dict[Name, Annotated[float, Field(ge=0, le=1e15)]], Field(max_length=16)]
"""Numbers of the application under keys that the fleet declares; others are not counted."""


def _says_nothing(value: Any) -> bool:
    return value is None or value == {}


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

    os_version: OsVersion | None = Field(default=None, exclude_if=_says_nothing)
    crashes: Count | None = Field(default=None, exclude_if=_says_nothing)
    """How often the program ended unasked since the model that runs was switched in."""
    fallback_ppm: Ppm | None = Field(default=None, exclude_if=_says_nothing)
    """Share of inputs that the application answered by other means, since the model was switched in."""
    confidence_histogram: Annotated[tuple[Count, ...], AsTuple, Field(min_length=10, max_length=10)] | None = Field(
        default=None, exclude_if=_says_nothing
    )
    """Recent answers by confidence: [0, 0.1), [0.1, 0.2), ..., [0.9, 1]."""
    accepted: Count | None = Field(default=None, exclude_if=_says_nothing)
    corrected: Count | None = Field(default=None, exclude_if=_says_nothing)
    """Outputs that people let stand, and that they corrected, since the model was switched in."""
    values: Values = Field(default_factory=dict, exclude_if=_says_nothing)
    waits_until: UtcText | None = Field(default=None, exclude_if=_says_nothing)
    """When the device may switch to what is desired of it: its maintenance window and its turn, by its own clock."""
    transfer: Way | None = Field(default=None, exclude_if=_says_nothing)
    transferred: Count | None = Field(default=None, exclude_if=_says_nothing)
    """With `downloaded`: how the artifact came, and how many bytes had to be fetched for it."""

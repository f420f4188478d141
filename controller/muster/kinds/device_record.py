"""What a reference device is given to run, and what its agent records: raw, so that nobody has to trust its arithmetic.

A job is one container of tensors (`artifacts.tensors`), whose digest the record names: `plan` (this module's `Plan`, as
JSON in bytes), `model_<role>`, `frames_<variant>`, `golden_inputs` and `golden_expected`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from muster.kinds.device_class import Provider
from muster.kinds.digest import DeviceId, Digest, ExactVersion, Name
from muster.kinds.evidence import Covered
from muster.kinds.quantity import Decimal
from muster.kinds.release import Inference
from muster.kinds.resource import AsTuple, Declared, Text

FORMAT: Final = "muster:device-record/v1"
LARGEST_JOB: Final = 2**31
LARGEST_RECORD: Final = 2**26
"""In bytes."""
MOST_FRAMES: Final = 1_000_000

PLAN: Final = "plan"
MODEL: Final = "model_"
FRAMES: Final = "frames_"
GOLDEN_INPUTS: Final = "golden_inputs"
GOLDEN_EXPECTED: Final = "golden_expected"
"""Names of a job's tensors; those that end in a line go on with a role or a variant."""

Role = Literal["artifact", "source", "superseded"]
Variant = Literal["clean", "noise", "dimmed", "glare"]
Nanoseconds = Annotated[int, Field(ge=0, le=10**15)]
Taken = Annotated[tuple[Nanoseconds, ...], AsTuple, Field(max_length=10_000)]
Best = Annotated[tuple[Annotated[int, Field(ge=0)], ...], AsTuple, Field(max_length=MOST_FRAMES)]


class Candidate(Declared):
    """How one model of the job is run."""

    provider: Provider
    inference: Inference


class Plan(Declared):
    """What there is to run, and on what."""

    release: Text
    artifact: Digest
    device_class: Name
    runtime_version: ExactVersion
    tolerance: Decimal
    candidates: dict[Role, Candidate]


class Recorded(Declared):
    """Of one model: times in ns (see `artifacts.timing`), peaks of memory in bytes, the best label per frame."""

    loads: Taken
    cold: Taken
    warm: Taken
    peaks: Taken
    best: dict[Variant, Best]


class RecordedSoak(Declared):
    """A soak in place of all else. `held` in ns."""

    held: Annotated[int, Field(ge=0)]
    frames: Annotated[int, Field(ge=0)]
    good: Annotated[int, Field(ge=0)]


class DeviceRecord(Declared):
    """What the agent of `device_id` recorded of the job with that digest. `processor`: the first, in Linux's words."""

    format: Literal["muster:device-record/v1"]
    job: Digest
    device_id: DeviceId
    device_class: Name
    recorded_at: Text
    runtime_version: ExactVersion
    agent_version: Text
    architecture: Text
    processor: Annotated[str, Field(max_length=16_384)]
    processors: Annotated[int, Field(ge=1, le=10_000)]
    system: Text
    candidates: Annotated[dict[Role, Recorded], Field(default_factory=dict)]
    coverage: Annotated[tuple[Covered, ...], AsTuple, Field(max_length=100_000)] = ()
    soak: RecordedSoak | None = None

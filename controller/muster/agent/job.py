"""The job that a reference device is given: what to run, checked before anything of it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from muster.agent.folder import read_bounded
from muster.artifacts.golden import golden_inputs
from muster.artifacts.inference import Float32, normalize
from muster.artifacts.tensors import Tensor, load_tensors
from muster.artifacts.timing import Golden
from muster.kinds.device_record import (
    FRAMES,
    GOLDEN_EXPECTED,
    GOLDEN_INPUTS,
    LARGEST_JOB,
    MODEL,
    PLAN,
    Plan,
    Role,
    Variant,
)
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable

_HINT = "write it again: muster measure RELEASE --class CLASS --job FILE"


@dataclass(frozen=True)
class Job:
    """A plan, with its models and frames."""

    digest: str
    plan: Plan
    tensors: Mapping[str, Tensor]

    def model(self, role: Role) -> bytes:
        """Raises `Unusable` if the job has none."""
        return self._bytes(f"{MODEL}{role}")

    def golden(self) -> Golden:
        """What a soak answers. Raises `Unusable`."""
        config = self.plan.candidates["artifact"].inference.input
        return Golden(
            golden_inputs(self._bytes(GOLDEN_INPUTS), config), self._bytes(GOLDEN_EXPECTED), self.plan.tolerance
        )

    def inputs(self, role: Role) -> dict[Variant, Float32]:
        """All frames, normalised, by variant. Raises `Unusable`, `Refused`."""
        config = self.plan.candidates[role].inference.input
        return {name: normalize(self._frames(name), config) for name in get_args(Variant)}

    def frames(self) -> Tensor:
        """The raw frames. Raises `Unusable`."""
        frames = self._frames("clean")
        if frames.ndim < 2 or not len(frames):
            raise Unusable(f"the job's frames have the shape {frames.shape}", _HINT)
        return frames

    def _frames(self, variant: Variant) -> Tensor:
        return self._tensor(f"{FRAMES}{variant}")

    def _bytes(self, name: str) -> bytes:
        return self._tensor(name).tobytes()

    def _tensor(self, name: str) -> Tensor:
        if name not in self.tensors:
            raise Unusable(f"the job has no {name}", _HINT)
        return self.tensors[name]


def read_job(path: Path, digest: str) -> Job:
    """The job with that digest, which came by another way than the file. Raises `Refused`, `Unusable`."""
    data = read_bounded(path, LARGEST_JOB)
    if digest_of(data) != digest:
        raise Refused(f"{path} has the digest {digest_of(data)}, not {digest}", "copy it again, or name its digest")
    tensors = load_tensors(data)
    if PLAN not in tensors:
        raise Unusable(f"{path} is no job", _HINT)
    try:
        plan = Plan.model_validate_json(tensors[PLAN].tobytes())
    except ValidationError as error:
        raise Unusable(
            f"the plan of {path} cannot be read: {error.error_count()} errors", "update the agent"
        ) from error
    if "artifact" not in plan.candidates:
        raise Unusable(f"the plan of {path} names no artifact", _HINT)
    return Job(digest, plan, tensors)

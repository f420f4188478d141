"""The job that a reference device is given: what to run, checked before anything of it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from muster.agent.folder import read_bounded
from muster.artifacts.golden import golden_inputs
from muster.artifacts.inference import Float32, normalize
from muster.artifacts.tensors import Tensor, load_tensors
from muster.artifacts.timing import Golden
from muster.kinds.device_record import LARGEST_JOB, Plan, Role
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, Unusable

_FRAMES = "frames_"


@dataclass(frozen=True)
class Job:
    """A plan, with its models and frames."""

    digest: str
    plan: Plan
    tensors: Mapping[str, Tensor]

    def model(self, role: Role) -> bytes:
        """Raises `Unusable` if the job has none."""
        return self._bytes(f"model_{role}")

    def golden(self) -> Golden:
        """What a soak answers. Raises `Unusable`."""
        config = self.plan.candidates["artifact"].inference.input
        return Golden(
            golden_inputs(self._bytes("golden_inputs"), config), self._bytes("golden_expected"), self.plan.tolerance
        )

    def inputs(self, role: Role) -> dict[str, Float32]:
        """All frames, normalised, by variant. Raises `Unusable`, `Refused`."""
        config = self.plan.candidates[role].inference.input
        return {name.removeprefix(_FRAMES): normalize(frames, config) for name, frames in self._frames().items()}

    def frames(self) -> Tensor:
        """The raw frames. Raises `Unusable`."""
        frames = self._frames().get(f"{_FRAMES}clean")
        if frames is None or frames.ndim < 2 or not len(frames):
            raise Unusable("the job has no frames", "write it again: muster measure --job")
        return frames

    def _frames(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in self.tensors.items() if name.startswith(_FRAMES)}

    def _bytes(self, name: str) -> bytes:
        if name not in self.tensors:
            raise Unusable(f"the job has no {name}", "write it again: muster measure --job")
        return self.tensors[name].tobytes()


def read_job(path: Path, digest: str) -> Job:
    """The job with that digest, which came by another way than the file. Raises `Refused`, `Unusable`."""
    data = read_bounded(path, LARGEST_JOB)
    if digest_of(data) != digest:
        raise Refused(f"{path} has the digest {digest_of(data)}, not {digest}", "copy it again, or name its digest")
    tensors = load_tensors(data)
    if "plan" not in tensors:
        raise Unusable(f"{path} is no job", "write one: muster measure RELEASE --class CLASS --job FILE")
    try:
        plan = Plan.model_validate_json(tensors["plan"].tobytes())
    except ValidationError as error:
        raise Unusable(
            f"the plan of {path} cannot be read: {error.error_count()} errors", "update the agent"
        ) from error
    if "artifact" not in plan.candidates:
        raise Unusable(f"the plan of {path} names no artifact", "write it again: muster measure --job")
    return Job(digest, plan, tensors)

"""A reference device measures for its class: it runs the job that it is given, and records what it saw, raw.

Rules: nothing of what the device runs otherwise is touched, and no agent may run beside it, whose work would show in
the times; the models take turns; what cannot be recorded ends it, nothing is left out in silence.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from muster import __version__
from muster.agent.identity import Identity
from muster.agent.job import Job
from muster.agent.runtime import OnnxRuntime, Session
from muster.artifacts.inference import answer, normalize
from muster.artifacts.tensors import Tensor, dump_tensors
from muster.artifacts.timing import Answer, Clock, Effort, Times, soak, take_times
from muster.artifacts.traces import nodes_of_trace
from muster.kinds.device_record import FORMAT, DeviceRecord, Recorded, RecordedSoak, Role, Variant
from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.kinds.evidence import Covered
from muster.kinds.moment import utc_text

RUNS: Final = 50
"""Frames that a process runs before its memory is looked at."""
_SECONDS: Final = 120
_PROCESSOR: Final = 16_384


@dataclass(frozen=True)
class Reference:
    """The device, its clocks, and how much it is to do. `soak` in ns; if there is any, it is all that is recorded."""

    identity: Identity
    runtime: OnnxRuntime
    clock: Clock
    effort: Effort
    now: datetime
    soak: int = 0


def record(job: Job, reference: Reference) -> DeviceRecord:
    """Raises `Refused`: another class or runtime, or a model that does not run here; `Unusable`, `TryAgain`."""
    identity, plan = reference.identity, job.plan
    if plan.device_class != identity.device_class:
        raise Refused(
            f"the job is for {plan.device_class}, this is a {identity.device_class}", "take it to such a device"
        )
    if plan.runtime_version != reference.runtime.version:
        raise Refused(
            f"this device has onnxruntime {reference.runtime.version}, the job is for {plan.runtime_version}",
            "measure with the runtime that the class declares",
        )
    seen = _Seen(soak=_soaked(job, reference)) if reference.soak else _measured(job, reference)
    return DeviceRecord(
        format=FORMAT,
        job=job.digest,
        device_id=identity.device_id,
        device_class=identity.device_class,
        recorded_at=utc_text(reference.now),
        runtime_version=reference.runtime.version,
        agent_version=__version__,
        architecture=platform.machine(),
        processor=_processor(),
        processors=os.cpu_count() or 1,
        system=f"{platform.system().lower()} {platform.release()}"[:200],
        candidates=seen.candidates,
        coverage=seen.coverage,
        soak=seen.soak,
    )


@dataclass(frozen=True)
class _Seen:
    """A soak, or all else."""

    candidates: dict[Role, Recorded] = field(default_factory=dict)
    coverage: tuple[Covered, ...] = ()
    soak: RecordedSoak | None = None


def _soaked(job: Job, reference: Reference) -> RecordedSoak:
    golden, session = job.golden(), _open(job, "artifact", reference)
    found = soak(session.run, golden, reference.clock, reference.soak)
    return RecordedSoak(held=found.held, frames=found.frames, good=found.good)


def _measured(job: Job, reference: Reference) -> _Seen:
    roles = tuple(sorted(job.plan.candidates))
    best = {role: _best(job, role, reference) for role in roles}
    frames = job.frames()
    times = take_times([_opener(job, role, reference, frames) for role in roles], reference.clock, reference.effort)
    peaks = _peaks(job, roles, reference.effort.processes)
    first = job.plan.candidates["artifact"]
    trace = reference.runtime.trace(
        job.model("artifact"), first.provider, first.inference.input.name, normalize(frames[:1], first.inference.input)
    )
    recorded = {role: _recorded(times[at], peaks[at], best[role]) for at, role in enumerate(roles)}
    return _Seen(recorded, nodes_of_trace(trace))


def _recorded(times: Times, peaks: Sequence[int], best: dict[Variant, tuple[int, ...]]) -> Recorded:
    return Recorded(
        loads=tuple(times.loads), cold=tuple(times.cold), warm=tuple(times.warm), peaks=tuple(peaks), best=best
    )


def _open(job: Job, role: Role, reference: Reference) -> Session:
    candidate = job.plan.candidates[role]
    return reference.runtime.load(job.model(role), candidate.provider, candidate.inference)


def _opener(job: Job, role: Role, reference: Reference, frames: Tensor) -> Callable[[], Answer]:
    model, candidate = job.model(role), job.plan.candidates[role]

    def opened() -> Answer:
        session = reference.runtime.load(model, candidate.provider, candidate.inference)

        def run(number: int) -> None:
            row = number % len(frames)
            answer(session.run(normalize(frames[row : row + 1], candidate.inference.input)))

        return run

    return opened


def _best(job: Job, role: Role, reference: Reference) -> dict[Variant, tuple[int, ...]]:
    session = _open(job, role, reference)
    found: dict[Variant, tuple[int, ...]] = {}
    for variant, inputs in job.inputs(role).items():
        scores = [session.run(inputs[row : row + 1]) for row in range(len(inputs))]
        labels, _ = answer(np.concatenate(scores))
        found[variant] = tuple(int(label) for label in labels)
    return found


def _peaks(job: Job, roles: Sequence[Role], processes: int) -> list[list[int]]:
    """In bytes: each model in processes of its own, in turns."""
    found: list[list[int]] = [[] for _ in roles]
    with tempfile.TemporaryDirectory(prefix="muster-memory-") as name:
        commands = [_command(Path(name), job, role) for role in roles]
        for _ in range(processes):
            for which, command in enumerate(commands):
                found[which].append(_peak(command))
    return found


def _command(folder: Path, job: Job, role: Role) -> list[str]:
    candidate, paths = job.plan.candidates[role], [folder / f"{role}.{kind}" for kind in ("json", "onnx", "inputs")]
    inputs = normalize(job.frames()[:RUNS], candidate.inference.input)
    files = (candidate.model_dump_json().encode(), job.model(role), dump_tensors({"inputs": inputs}))
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    return [sys.executable, "-m", "muster.agent.peak", *map(str, paths)]


def _peak(command: Sequence[str]) -> int:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603 - our own module
    except subprocess.TimeoutExpired as error:
        raise TryAgain("the process whose memory is measured did not end", "see whether the device is busy") from error
    text = done.stdout.decode(errors="replace").strip()
    if done.returncode or not text.isdigit():
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
        raise Unusable(f"the process whose memory is measured ended with {done.returncode}: {said[:200]!a}")
    return int(text)


def _processor() -> str:
    """What Linux says of the first processor."""
    try:
        with Path("/proc/cpuinfo").open(errors="replace") as file:
            return file.read(_PROCESSOR).partition("\n\n")[0]
    except OSError:
        return ""

"""A slot that is loaded: its session, its inference config, and the digest of the bytes that were handed over.

The model file is read once. What is hashed, what is loaded and what is reported are the same bytes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from muster.agent.folder import read_bounded
from muster.agent.journal import Slot
from muster.agent.runtime import Runtime, Session
from muster.agent.setbacks import StepFailed
from muster.artifacts.bundle import CONFIG, GOLDEN_EXPECTED, GOLDEN_INPUTS, LIMITS, MANIFEST, MODEL
from muster.artifacts.golden import golden_difference, golden_inputs
from muster.artifacts.inference import Float32, answer, confident, normalize
from muster.artifacts.manifest import Manifest, read_manifest
from muster.artifacts.tensors import Tensor
from muster.kinds.digest import digest_of
from muster.kinds.errors import MusterError
from muster.kinds.release import Inference


class Answered(NamedTuple):
    """What a model made of a frame: its label, how sure it is, and whether that reaches the threshold."""

    label: str
    confidence: float
    confident: bool


@dataclass(frozen=True)
class LoadedModel:
    """`golden` [N, ...] are inputs of the golden snapshot, normalised; `load_time_ms` runs until the session stands."""

    slot: Slot
    session: Session
    config: Inference
    model_hash: str
    config_version: str
    load_time_ms: float
    golden: Float32

    def answer(self, frame: Tensor) -> Answered:
        """Answer one raw frame. Raises `StepFailed` (inference_failed)."""
        try:
            inputs = normalize(frame[np.newaxis], self.config.input)
        except MusterError as error:
            raise StepFailed("inference_failed", error.message) from error
        best, confidence = answer(self.session.run(inputs))
        reached = bool(confident(confidence, self.config.thresholds)[0])
        return Answered(self.config.output.labels[int(best[0])], float(confidence[0]), reached)

    def replay(self, index: int) -> None:
        """Run one golden input, for its latency. Raises `StepFailed` (inference_failed)."""
        if len(self.golden):
            row = index % len(self.golden)
            self.session.run(self.golden[row : row + 1])


def load_slot(folder: Path, slot: Slot, runtime: Runtime) -> LoadedModel:
    """Open a slot and hold its golden answers against the expectation.

    Raises `StepFailed`: slot_damaged, load_failed, out_of_memory, provider_missing, inference_failed, golden_mismatch.
    """
    manifest = _manifest(folder, slot)
    config = _config(_file(folder, manifest, CONFIG))
    began = time.perf_counter()
    model = _file(folder, manifest, MODEL)
    session = runtime.load(model, slot.entry.provider, config)
    load_time_ms = (time.perf_counter() - began) * 1_000
    golden = _golden(folder, manifest, config, session)
    return LoadedModel(
        slot=slot,
        session=session,
        config=config,
        model_hash=digest_of(model),
        config_version=manifest.config_version,
        load_time_ms=load_time_ms,
        golden=golden,
    )


def _golden(folder: Path, manifest: Manifest, config: Inference, session: Session) -> Float32:
    expected = _file(folder, manifest, GOLDEN_EXPECTED)
    try:
        inputs = golden_inputs(_file(folder, manifest, GOLDEN_INPUTS), config.input)
        # One at a time, as frames come: a model may have a batch axis of one.
        scores = [session.run(inputs[row : row + 1]) for row in range(len(inputs))]
        empty = np.zeros((0, len(config.output.labels)), np.float32)
        difference = golden_difference(np.concatenate([empty, *scores]), expected, manifest.golden_tolerance)
    except StepFailed:
        raise
    except MusterError as error:
        raise StepFailed("golden_mismatch", error.message, error.hint) from error
    if difference is not None:
        raise StepFailed("golden_mismatch", f"golden answers differ: {difference}")
    return inputs


def _manifest(folder: Path, slot: Slot) -> Manifest:
    try:
        data = read_bounded(folder / MANIFEST, LIMITS[MANIFEST])
        if digest_of(data) != slot.manifest:
            raise _damaged(MANIFEST)
        return read_manifest(data)
    except StepFailed:
        raise
    except MusterError as error:
        raise StepFailed("slot_damaged", error.message) from error


def _file(folder: Path, manifest: Manifest, name: str) -> bytes:
    try:
        data = read_bounded(folder / name, manifest.files[name].size)
    except MemoryError as error:
        raise StepFailed("out_of_memory", f"{name} needs more memory than there is") from error
    except MusterError as error:
        raise StepFailed("slot_damaged", error.message) from error
    if digest_of(data) != manifest.files[name].digest:
        raise _damaged(name)
    return data


def _config(data: bytes) -> Inference:
    try:
        return Inference.model_validate_json(data)
    except ValidationError as error:
        raise StepFailed("load_failed", f"the inference config cannot be read: {error.error_count()} errors") from error


def _damaged(name: str) -> StepFailed:
    return StepFailed("slot_damaged", f"{name} changed on this device's disk")

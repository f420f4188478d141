"""Long-run stability: an artifact answers its golden inputs, over and over, for as long as asked.

The value is how long every answer held, in µs: the first wrong one ends the soak, and the value says when.
"""

from __future__ import annotations

from decimal import Decimal

from muster.artifacts.golden import golden_difference, golden_inputs
from muster.build.measuring.speed import Clock, Place
from muster.build.measuring.subject import Subject
from muster.build.onnx_runtime import Session
from muster.kinds.errors import Refused
from muster.kinds.evidence import Result


def soak_result(subject: Subject, place: Place, clock: Clock, microseconds: int) -> Result:
    """Run for that long, or until an answer no longer holds. `samples` counts the frames, `successes` the good ones."""
    session, config = Session(subject.artifact.model, place.providers["artifact"]), subject.artifact.inference
    inputs, tolerance = golden_inputs(subject.golden[0], config.input), subject.release.spec.snapshots.golden.tolerance
    began = held = clock()
    frames = good = 0
    while held - began < microseconds * 1_000:
        try:
            scores = session.run(config.input.name, inputs)
            difference = golden_difference(scores, subject.golden[1], tolerance)
        except Refused as error:
            difference = error.message
        frames += len(inputs)
        if difference is not None:
            break
        good += len(inputs)
        held = clock()
    return Result(
        metric="soak",
        value=Decimal((held - began) // 1_000),
        device_class=place.device_class,
        samples=frames,
        successes=good,
    )

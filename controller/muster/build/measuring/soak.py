"""Long-run stability: an artifact answers its golden inputs, over and over, for as long as asked.

The value is how long every answer held, in µs: the first wrong one ends the soak, and the value says when.
"""

from __future__ import annotations

from decimal import Decimal

from muster.artifacts.golden import golden_inputs
from muster.artifacts.timing import Clock, Golden, Soaked, soak
from muster.build.measuring.speed import Place
from muster.build.measuring.subject import Subject
from muster.build.onnx_runtime import Session
from muster.kinds.evidence import Result


def soak_result(subject: Subject, place: Place, clock: Clock, microseconds: int) -> Result:
    """Run for that long, or until an answer no longer holds. `samples` counts the frames, `successes` the good ones."""
    session, config = Session(subject.artifact.model, place.providers["artifact"]), subject.artifact.inference.input
    tolerance = subject.release.spec.snapshots.golden.tolerance
    golden = Golden(golden_inputs(subject.golden[0], config), subject.golden[1], tolerance)
    return soaked_result(
        soak(lambda inputs: session.run(config.name, inputs), golden, clock, microseconds * 1_000), place
    )


def soaked_result(soaked: Soaked, place: Place) -> Result:
    """What a soak says, wherever it ran."""
    return Result(
        metric="soak",
        value=Decimal(soaked.held // 1_000),
        device_class=place.device_class,
        samples=soaked.frames,
        successes=soaked.good,
    )

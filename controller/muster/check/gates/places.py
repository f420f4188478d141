"""Where a measurement ran, and whether that says something about a device class.

| what          | counts where it was measured                                                                    |
|---------------|-------------------------------------------------------------------------------------------------|
| times         | on a reference device; as a ratio to a baseline, taken in pairs, on any machine of the class too |
| answers       | anywhere; for a class that declares its CPU, on a reference device or with that CPU's instructions|
| anything else | anywhere                                                                                         |

No time of an emulated CPU counts.
"""

from __future__ import annotations

from typing import Final

from muster.check.gates.ground import Ground
from muster.check.gates.question import Question, quoted
from muster.kinds.evidence import Measurement, Result

_REFERENCE: Final = "reference-device"


def declared_cpus(ground: Ground, name: str) -> frozenset[str]:
    """The CPUs that base and head declare for a class: a change cannot take one back and be judged without it."""
    sides = (ground.base_classes.get(name), ground.head_classes.get(name))
    return frozenset(side.spec.cpu for side in sides if side is not None and side.spec.cpu is not None)


def elsewhere(question: Question, measurement: Measurement, result: Result) -> str | None:
    """Why the result does not count for the gate's class; None if it does."""
    if question.device_class is None or measurement.where == _REFERENCE:
        return None
    if question.kind.timed:
        return _no_time(question, measurement, result)
    if question.kind.answers:
        return _other_cpu(question, measurement, question.device_class)
    return None


def _no_time(question: Question, measurement: Measurement, result: Result) -> str | None:
    of = question.gate.relative_to
    if measurement.where == "emulated":
        return "measured on an emulated CPU, whose time is nobody's"
    if of in ("absolute", "budget"):
        return "not measured on a reference device: elsewhere only the ratio to another artifact tells"
    paired = any(baseline.of == of and baseline.ratio is not None for baseline in result.baselines)
    return None if paired else f"not measured in pairs with the {of}'s, nor on a reference device"


def _other_cpu(question: Question, measurement: Measurement, name: str) -> str | None:
    cpus = declared_cpus(question.ground, name)
    ran = measurement.environment.get("cpu", "")
    wanted = {f"emulated/{cpu}" for cpu in cpus}
    if not cpus or (measurement.where == "emulated" and {ran.partition("/")[2]} == wanted):
        return None
    return (
        f"answered on {quoted(ran) if ran else 'a CPU that it does not tell'}, and {name} has {', '.join(sorted(cpus))}"
    )

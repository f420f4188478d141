"""The decision record of an advance, as the message of its commit: numbers against bounds, sample, exposure.

Labels and error codes come from devices: whatever they hold, each guardrail keeps to one line that begins with a dash,
so that no device can write a trailer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from muster.plan.guardrails import Verdict

_MOST_LINES: Final = 64
_LONGEST: Final = 400


def message_of(release: str, moved: str, verdicts: Sequence[Verdict]) -> str:
    """Title, the record, and the trailer that names the step. Others may follow the trailer."""
    lines = [f"Advance {release}: {moved}", ""]
    if verdicts:
        lines += ["Every guardrail that halts says no-worse, in the worst stratum of each device class:", ""]
        lines += [_line(one) for one in verdicts[:_MOST_LINES]]
        rest = len(verdicts) - _MOST_LINES
        lines += [f"- {rest} more: muster describe release/{release}"] if rest > 0 else []
    else:
        lines += ["Its scheduled start has come; no device has it yet."]
    return "\n".join([*lines, "", f"Muster-Advance: {release} {moved.replace(' → ', ' ')}"])


def _line(one: Verdict) -> str:
    record = one.record
    sample = cast("Mapping[str, Any]", record.get("candidate", {}))
    where = f"{one.device_class} ({one.stratum})" if one.stratum else one.device_class
    bounds = f"{record.get('estimate')} against {record.get('boundary')}"
    if record.get("lower") is not None or record.get("upper") is not None:
        bounds += f", between {record.get('lower')} and {record.get('upper')}"
    if record.get("control") is not None:
        bounds += f", control {record['control']}"
    devices = f"{sample.get('failed', 0)} of {sample.get('judged', 0)} devices"
    left_out = ", ".join(f"{sample[name]} {name}" for name in ("pending", "missing", "recalled") if sample.get(name))
    exposed = f"exposure {record.get('exposurePpm', 0)} ppm"
    text = f"{one.guardrail} ({one.against}) in {where}: {one.outcome}: {bounds}; {devices}"
    text = f"- {text}{f' ({left_out})' if left_out else ''}; {exposed}"
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_LONGEST]

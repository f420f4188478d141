"""A gate of a class reads what its CPU's instructions made of the answers."""

from __future__ import annotations

import json
import platform
import shutil
from datetime import UTC, datetime

import pytest
from gate_situations import NEW, statement, verdict_of

from meter_example import ROOT
from muster.build.declarations import read_device_classes
from muster.build.measuring.emulated import EmulatedCpu
from muster.build.measuring.machine import this_machine
from muster.build.measuring.measurement import measure_emulated
from muster.kinds.evidence import MEASUREMENT
from saturating import saturating_subject


@pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None or platform.machine() != "x86_64",
    reason="needs an x86-64 machine with qemu-x86_64 (`make peers`)",
)
@pytest.mark.parametrize(("cpu", "outcome"), [("Haswell", "fail"), ("Nehalem", "pass")])
def test_saturation_stops_the_gate(cpu: str, outcome: str) -> None:
    """The same artifact: half wrong with AVX2 and no VNNI, all right without AVX."""
    declared = read_device_classes(ROOT)["cam-day"]
    measured = measure_emulated(
        saturating_subject(), declared, None, EmulatedCpu.of(cpu, this_machine()), datetime(2026, 5, 1, 11, tzinfo=UTC)
    )
    predicate = {
        **json.loads(measured.model_dump_json(exclude_none=True)),
        "release": NEW.name,
        "snapshots": {name: getattr(NEW.spec.snapshots, name) for name in ("calibration", "evaluation")},
    }
    gate = {"metric": "accuracy", "comparator": ">=", "threshold": "0.98", "deviceClass": "cam-day"}
    assert verdict_of(gate, [statement(MEASUREMENT, predicate)]).outcome == outcome

"""SCAI v0.3: on which hardware an artifact was measured and rebuilt, each fact with the evidence that says so.

Format: in-toto attestation framework, `spec/predicates/scai.md`. An attribute holds under its `conditions`, which are
what the evidence says about the machine: nobody else looked at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from muster.attest.figures import measurement_of, rebuild_of
from muster.attest.statements.descriptors import evidence_descriptor
from muster.kinds.evidence import Evidence


def hardware_facts(evidence: Iterable[Evidence], digests: Mapping[str, str]) -> dict[str, Any] | None:
    """The predicate for believed evidence, whose files have `digests` {path: digest}; None if it tells of no machine.

    Attributes: `MEASURED_ON` (target: the device class, where there is one), `DELEGATE_ACTIVE`, and `REPRODUCED_L1` or
    `REPRODUCED_L2`.
    """
    attributes = [
        attribute
        for item in sorted(evidence, key=lambda item: item.path)
        if item.problem is None
        for attribute in _attributes(item, evidence_descriptor(item.path, digests[item.path]))
    ]
    return {"attributes": attributes} if attributes else None


def _attributes(item: Evidence, described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if (measured := measurement_of(item)) is not None:
        conditions = dict(sorted(measured.environment.items()))
        for name in sorted({result.device_class or "" for result in measured.results}):
            target = {"target": {"name": f"devices/classes/{name}.yaml"}} if name else {}
            fact = {**target, "conditions": conditions, "evidence": described}
            yield {"attribute": "MEASURED_ON", **fact}
            results = [result for result in measured.results if result.device_class == name]
            if any(result.metric == "delegate-active" and result.value == 1 for result in results):
                yield {"attribute": "DELEGATE_ACTIVE", **fact}
    elif (rebuilt := rebuild_of(item)) is not None and rebuilt.verdict == "GOOD":
        conditions = {"cpu": rebuilt.cpu, "table": rebuilt.from_table}
        yield {"attribute": f"REPRODUCED_{rebuilt.level}", "conditions": conditions, "evidence": described}

"""Test Result v0.1: what became of the gates of one release.

Format: in-toto attestation framework, `spec/predicates/test-result.md`. A test is named after its gate, and where the
gate is asked per device class or slice, after that too. What a waiver hides is a warning, never a pass: the verdict
that it hides is still recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from muster.attest.statements.descriptors import policy_descriptors
from muster.check.verdict import Verdict
from muster.kinds.errors import Refused
from muster.kinds.moment import utc_text


def test_name(verdict: Verdict) -> str:
    """`<metric>/<gate>`, then `@<device class>` and `#<slice>` where they are asked about."""
    name = f"{verdict.rule.partition('/')[2]}/{verdict.gate}" if verdict.gate else verdict.rule
    at = f"@{verdict.device_class}" if verdict.device_class else ""
    return name + at + (f"#{verdict.slice}" if verdict.slice else "")


def test_result(verdicts: Iterable[Verdict], policies: Mapping[str, str], at: datetime) -> dict[str, Any]:
    """The predicate for verdicts that were given at a moment, by policy files {path: digest}.

    Raises `Refused` for no policy file: a result without its configuration says nothing.
    """
    if not policies:
        raise Refused("no policy judged the gates", "declare tiers in policies/default.yaml")
    passed: list[str] = []
    warned: list[str] = []
    failed: list[str] = []
    for verdict in verdicts:
        chosen = failed if verdict.blocks else passed if verdict.outcome == "pass" else warned
        chosen.append(test_name(verdict))
    return {
        "result": "FAILED" if failed else "WARNED" if warned else "PASSED",
        "configuration": policy_descriptors(policies, judgedAt=utc_text(at)),
        "passedTests": sorted(passed),
        "warnedTests": sorted(warned),
        "failedTests": sorted(failed),
    }

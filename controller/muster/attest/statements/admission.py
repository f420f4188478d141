"""Simple Verification Result v0.1: what a verifier found to hold of an artifact, for those who trust the verifier.

Format: in-toto attestation framework, `spec/predicates/svr.md`; the policy stands in `verifier.policy`, the extension
that the specification itself shows. Only what holds is named: a reader looks for the property that it asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from muster import __version__
from muster.attest.statements.descriptors import policy_descriptors
from muster.check.verdict import Verdict
from muster.kinds.moment import utc_text

ADMITTED: Final = "MUSTER_ADMITTED"
"""No gate of the release's tier blocks it."""
REBUILT: Final = "MUSTER_REBUILT_FROM_PINS"
"""The verifier itself built the artifact from the pins of its release, and the bytes are those pinned."""


def verifier(version: str) -> str:
    """The id of a controller of a version of this program."""
    return f"muster:controller/{version}"


VERIFIER: Final = verifier(__version__)


def admission(
    properties: Collection[str], at: datetime, policies: Mapping[str, str] | None = None, by: str = VERIFIER
) -> dict[str, Any]:
    """The predicate: `properties` held at a moment, under policy files {path: digest}; `by` is the verifier's id."""
    named: dict[str, Any] = {"id": by}
    if policies:
        named["policy"] = policy_descriptors(policies)
    return {"verifier": named, "timeCreated": utc_text(at), "properties": sorted(set(properties))}


def gate_properties(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    """`MUSTER_GATE_<NAME>` for each gate that passed on every class, and `MUSTER_ADMITTED` if nothing blocks."""
    given = tuple(verdicts)
    names = {verdict.gate for verdict in given if verdict.gate}
    held = names - {verdict.gate for verdict in given if verdict.outcome != "pass"}
    found = {f"MUSTER_GATE_{name.upper().replace('-', '_')}" for name in held if name}
    if given and not any(verdict.blocks for verdict in given):
        found.add(ADMITTED)
    return tuple(sorted(found))

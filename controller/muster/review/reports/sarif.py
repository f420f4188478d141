"""SARIF 2.1.0, for code scanning: one result for each verdict, with the line that a person would edit.

| outcome                    | kind     | level                                     |
|----------------------------|----------|-------------------------------------------|
| `pass`                     | `pass`   | `none`                                    |
| `fail`                     | `fail`   | `error` or `warning`, by its severity     |
| `inconclusive`             | `open`   | `none`: the standard has no other for it  |
| `error`, not measured      | `review` | `none`                                    |

Whether an open one blocks stands in `properties.standing`. A waived verdict is there, with its suppression.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote

from muster.check.judgement import Judgement
from muster.check.verdict import Outcome, Verdict
from muster.review.reports.neutral import identifier, sarif_message
from muster.review.reports.words import TITLES, headline, place_of, standing, waiver_line

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_KINDS: Final[Mapping[Outcome, str]] = {"pass": "pass", "fail": "fail", "inconclusive": "open", "error": "review"}


def sarif_report(judgement: Judgement) -> str:
    """One run: rules, results in the order of the verdicts, and the headline and notes as notifications."""
    rules = sorted({verdict.rule for verdict in judgement.verdicts})
    run = {
        "tool": {"driver": {"name": "muster", "version": version("passmuster"), "rules": list(map(_rule, rules))}},
        "automationDetails": {"id": "muster/check/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": judgement.exit_code,
                "toolExecutionNotifications": [
                    {"level": "note", "message": {"text": sarif_message(said)}}
                    for said in (headline(judgement), *judgement.notes)
                ],
            }
        ],
        "results": [_result(verdict, rules.index(verdict.rule)) for verdict in judgement.verdicts],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(rule: str) -> dict[str, Any]:
    section, _, name = rule.partition("/")
    return {"id": rule, "shortDescription": {"text": sarif_message(f"{TITLES.get(section, section)}: {name}")}}


def _result(verdict: Verdict, rule_index: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ruleId": verdict.rule,
        "ruleIndex": rule_index,
        "kind": _KINDS[verdict.outcome],
        "level": _level(verdict),
        "message": {"text": _message(verdict)},
        "locations": _locations(verdict),
        "partialFingerprints": {"musterVerdict/v1": fingerprint(verdict)},
        "properties": _properties(verdict),
    }
    if verdict.waived is not None:
        reason = {"kind": "external", "status": "accepted", "justification": sarif_message(waiver_line(verdict) or "")}
        found["suppressions"] = [reason]
    return found


def _level(verdict: Verdict) -> str:
    if verdict.outcome != "fail":
        return "none"
    return "error" if verdict.severity == "block" else "warning"


def _message(verdict: Verdict) -> str:
    hint = f" Hint: {verdict.hint}" if verdict.hint else ""
    return sarif_message(f"{identifier(verdict.subject)}: {verdict.message}{hint}")


def _locations(verdict: Verdict) -> list[dict[str, Any]]:
    place = place_of(verdict)
    if place is None:
        return []
    physical: dict[str, Any] = {"artifactLocation": {"uri": quote(place.file, errors="surrogatepass")}}
    if place.line:
        physical["region"] = {"startLine": place.line} | ({"startColumn": place.column} if place.column else {})
    return [{"physicalLocation": physical}]


def _properties(verdict: Verdict) -> dict[str, str]:
    told = {
        "standing": standing(verdict),
        "outcome": verdict.outcome,
        "tier": verdict.tier,
        "gate": verdict.gate,
        "deviceClass": verdict.device_class,
        "slice": verdict.slice,
        "measured": verdict.measured,
        "threshold": verdict.threshold,
        "evidence": verdict.evidence,
        "liftsAt": verdict.lifts_at,
    }
    return {name: identifier(value) for name, value in told.items() if value is not None}


def fingerprint(verdict: Verdict) -> str:
    """What a verdict is about, whatever it says of it: stays while lines move and measurements change."""
    where = verdict.where
    about = [
        verdict.rule,
        verdict.subject,
        verdict.gate,
        verdict.device_class,
        verdict.slice,
        where and [where.file, *map(str, where.path)],
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()

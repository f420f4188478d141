"""Situations for gates: one gate, one new release on one class, and the evidence that lies there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fleets import make_class, make_cohort, make_key, make_release, pin
from muster.check.case import Case
from muster.check.change import difference
from muster.check.gates.decide import gate_verdicts
from muster.check.verdict import Verdict
from muster.kinds.device_class import DeviceClass
from muster.kinds.digest import hex_of
from muster.kinds.evidence import MEASUREMENT, PROVENANCE, REBUILD, Evidence
from muster.kinds.fleet import Fleet
from muster.kinds.policy import Policy
from muster.kinds.pull_request import PullRequest
from muster.kinds.release import Release
from muster.kinds.signing_key import SigningKey

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CLASS = "cam-day"
OLD = make_release("1.0.0", {"fleet": "100%"}, classes=(CLASS,))
NEW = make_release("1.1.0", {"canary": "5%"}, classes=(CLASS,), supersedes="1.0.0")
FOLDER = f"evidence/{hex_of(NEW.spec.artifact.digest)}"
EVIDENCE_KEY = make_key().model_copy(update={"spec": make_key().spec.model_copy(update={"uses": ("evidence",)})})


def edited(release: Release, **fields: Any) -> Release:
    """The release with other values in `spec`."""
    return release.model_copy(update={"spec": release.spec.model_copy(update=fields)})


def statement(predicate_type: str, predicate: Any, name: str = "measurement", **fields: Any) -> Evidence:
    """Evidence that a trusted key signed an hour ago, about the new release's artifact."""
    made = Evidence(
        path=f"{FOLDER}/{name}.json",
        subjects=(NEW.spec.artifact.digest,),
        predicate_type=predicate_type,
        predicate=predicate,
        made_at=NOW - timedelta(hours=1),
        signer="bench",
    )
    return replace(made, **fields)


def measurement(*results: Mapping[str, Any], provider: str = "CPUExecutionProvider", **fields: Any) -> Evidence:
    """A measurement of the pinned snapshots."""
    predicate = {
        "release": NEW.name,
        "measuredAt": "2026-05-01T11:00:00Z",
        "harness": "test",
        "environment": {"provider": provider},
        "snapshots": {"calibration": pin("calibration"), "evaluation": pin("evaluation")},
        "results": list(results),
        "where": "reference-device",
    }
    predicate.update(fields.pop("predicate", {}))
    return statement(MEASUREMENT, predicate, **fields)


def share(metric: str, hits: int, total: int, **fields: Any) -> dict[str, Any]:
    """A result that is a share of counts."""
    value = f"{hits / total:.9f}"
    return {"metric": metric, "value": value, "samples": total, "successes": hits, **fields}


def against(of: str, digest: str, both: int, this: int, baseline: int, total: int) -> dict[str, Any]:
    """A baseline with paired counts."""
    value = f"{(both + baseline) / total:.9f}"
    return {"of": of, "digest": digest, "value": value, "both": both, "onlyThis": this, "onlyBaseline": baseline}


def rebuild(verdict: str = "GOOD", level: str = "L1", cpu: str = "x86/1/1", **fields: Any) -> Evidence:
    """A rebuild of the new release."""
    predicate = {
        "release": fields.pop("release", NEW.name),
        "rebuiltAt": "2026-05-01T11:00:00Z",
        "level": level,
        "verdict": verdict,
        "cpu": cpu,
        "fromTable": "pinned",
        **({"emulatedOn": fields.pop("emulated_on")} if "emulated_on" in fields else {}),
        "lock": fields.pop("lock", NEW.spec.builder.digest),
        "environment": fields.pop("environment", "lock"),
        **({"extra": fields.pop("extra")} if "extra" in fields else {}),
    }
    return statement(REBUILD, predicate, **{"name": "rebuild", **fields})


def slsa(*sources: str, **fields: Any) -> Evidence:
    """Provenance that lists these digests."""
    predicate = {
        "buildDefinition": {
            "buildType": "muster:build/v1",
            "externalParameters": fields.pop("parameters", {"release": NEW.name, "pins": NEW.pins}),
            "resolvedDependencies": [{"name": "a", "digest": {"sha256": hex_of(digest)}} for digest in sources],
        },
        "runDetails": {"builder": {"id": "muster:builder/local"}},
    }
    return statement(PROVENANCE, predicate, **{"name": "provenance", **fields})


def policy_with(*gates: Mapping[str, Any], evidence_max_age: str | None = "30d", tier: str = "production") -> Policy:
    """A policy whose only tier has these gates."""
    return Policy.model_validate(
        {
            "metadata": {"name": "default"},
            "spec": {
                "tiers": [
                    {
                        "name": tier,
                        "soak": "1h",
                        "health": {"window": "10m", "pollInterval": "5m"},
                        "evidenceMaxAge": evidence_max_age,
                        "gates": [{"name": gate["metric"], **gate} for gate in gates],
                    }
                ]
            },
        }
    )


def case_of(
    policy: Policy,
    evidence: Sequence[Evidence] = (),
    *,
    release: Release = NEW,
    classes: Sequence[DeviceClass] | None = None,
    keys: Sequence[SigningKey] = (EVIDENCE_KEY,),
    before: Sequence[Release] = (OLD,),
) -> Case:
    """A change that adds `release` to a base that has `before`, judged by the base's policy."""
    around = [make_cohort("canary", 1, ring="canary"), make_cohort("fleet", 2), *keys]
    known = [make_class(CLASS)] if classes is None else list(classes)
    base = Fleet.of([*before, *around, *known, policy])
    head = Fleet.of([*(one for one in before if one.name != release.name), release, *around, *known, policy])
    return Case(difference(base, head, ()), PullRequest("a" * 40, "b" * 40), NOW, tuple(evidence))


def verdict_of(gate: Mapping[str, Any], evidence: Sequence[Evidence] = (), **fields: Any) -> Verdict:
    """The one verdict of one gate."""
    (verdict,) = gate_verdicts(case_of(policy_with(gate), evidence, **fields))
    return verdict

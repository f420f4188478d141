"""What follows from the primary members of a package: documents and statements, the same bytes whoever derives them.

| member                  | holds                                                                   |
|-------------------------|-------------------------------------------------------------------------|
| `gates.json`            | the verdict of every gate of the release's tier, and the waivers         |
| `history.json`          | every commit of its history with its rollout, who signed it; the ledger's events |
| `approvals.json`        | who approved what, by signature                                           |
| `lineage.json`          | what the artifact came from                                               |
| `release_manifest.json` | all figures, devices, signing, and the address of every piece of evidence |
| `bom.json`              | CycloneDX ML-BOM                                                          |
| `model-card.md`         | the model card                                                            |

Gates are judged by the policies of the commit itself, as of the package's moment, as if the release were brought
forward now: a package tells what is true of a release, not what a pull request once showed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from muster.attest.bill_of_materials import bill_of_materials
from muster.attest.commit_signatures import commit_signature
from muster.attest.model_card import model_card
from muster.attest.package.contents import APPROVALS, LEDGER, Contents
from muster.attest.package.git_objects import described
from muster.attest.package.ledger_rows import gaps, read_rows
from muster.attest.release_manifest import release_manifest
from muster.attest.signers import is_key_file, signers_of
from muster.attest.statements.admission import admission, gate_properties, verifier
from muster.attest.statements.hardware_facts import hardware_facts
from muster.attest.statements.release_names import names_of, release_names
from muster.attest.statements.test_result import test_result
from muster.check.case import Case
from muster.check.change import difference
from muster.check.gates.decide import gate_verdicts
from muster.check.trace import descent
from muster.check.verdict import Verdict
from muster.check.waivers import apply_waivers
from muster.kinds.errors import Refused
from muster.kinds.evidence import ADMISSION, HARDWARE, RELEASE_NAMES, TEST_RESULT
from muster.kinds.owners import Owners
from muster.kinds.pull_request import Approval, PullRequest
from muster.kinds.signing_key import SigningKey
from muster.kinds.waiver import Waiver
from muster.source.rollouts import rollout_of

ReadApprovals = Callable[[str, str, "Owners | None", Sequence[SigningKey]], tuple[Approval, ...]]
"""(note, commit, owners, keys) → the approvals that count."""

STATEMENTS: Final = "statements/"


@dataclass(frozen=True)
class Claim:
    """A statement before it is signed: its type, what it is about {name: digest}, and what it says."""

    predicate_type: str
    subjects: Mapping[str, str]
    predicate: Mapping[str, Any]


@dataclass(frozen=True)
class Derived:
    """`documents` by member name; `claims` by the member that holds the signed statement."""

    documents: Mapping[str, bytes]
    claims: Mapping[str, Claim]


def derive(contents: Contents, read_approvals: ReadApprovals) -> Derived:
    """Everything that follows. Raises `Refused` for members that are not sound."""
    verdicts = judged(contents)
    known, keys = contents.known, contents.fleet.signing_keys
    documents = {
        "gates.json": _json(_gates(contents, verdicts)),
        "history.json": _json(_history(contents)),
        "approvals.json": _json([_approval(one) for one in approvals(contents, read_approvals, keys)]),
        "lineage.json": _json(
            [{"what": step.what, "id": step.id, "note": step.note} for step in descent(contents.release)]
        ),
        "release_manifest.json": _json(release_manifest(known)),
        "bom.json": _json(bill_of_materials(known, contents.lock, contents.at, contents.about.version)),
        "model-card.md": model_card(known).encode(),
    }
    return Derived(documents, dict(_claims(contents, verdicts)))


def judged(contents: Contents) -> tuple[Verdict, ...]:
    """The verdicts of the release's gates, waivers applied."""
    fleet, release = contents.fleet, contents.release
    base = replace(fleet, releases=tuple(one for one in fleet.releases if one.name != release.name))
    commit = contents.about.commit
    case = Case(difference(base, fleet, ()), PullRequest(commit, commit), contents.at, contents.evidence)
    return tuple(verdict for verdict in apply_waivers(gate_verdicts(case), case) if verdict.subject == release.name)


def approvals(contents: Contents, read_approvals: ReadApprovals, keys: Sequence[SigningKey]) -> tuple[Approval, ...]:
    """The approvals of the history's commits that people whom the fleet declares signed with one of these keys."""
    found: list[Approval] = []
    for commit, note in contents.under(APPROVALS).items():
        if commit not in contents.about.history:
            raise Refused(f"approvals of {commit}, which is not in the history", "export the package again")
        found += read_approvals(note.decode(errors="replace"), commit, contents.fleet.owners, keys)
    return tuple(sorted(found, key=lambda one: (one.at, one.commit, one.by, one.of)))


def _claims(contents: Contents, verdicts: Sequence[Verdict]) -> Iterator[tuple[str, Claim]]:
    release, at, policies = contents.release, contents.at, contents.policies
    subject = {release.name: release.spec.artifact.digest}
    yield f"{STATEMENTS}release.json", Claim(RELEASE_NAMES, names_of(release), release_names(release))
    if policies:
        yield f"{STATEMENTS}test-result.json", Claim(TEST_RESULT, subject, test_result(verdicts, policies, at))
    said = admission(gate_properties(verdicts), at, policies, verifier(contents.about.version))
    yield f"{STATEMENTS}admission.json", Claim(ADMISSION, subject, said)
    facts = hardware_facts(contents.evidence, contents.evidence_digests)
    if facts is not None:
        yield f"{STATEMENTS}hardware.json", Claim(HARDWARE, subject, facts)


def waivers_of(contents: Contents) -> tuple[Waiver, ...]:
    """The waivers that the fleet declares for the release, in force or not."""
    return tuple(one for one in contents.fleet.waivers if one.spec.release == contents.release.name)


def _gates(contents: Contents, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    waivers = waivers_of(contents)
    return {
        "release": contents.release.name,
        "tier": contents.release.spec.tier,
        "judgedAt": contents.about.at,
        "verdicts": [_verdict(verdict) for verdict in verdicts],
        "waivers": [{"name": one.metadata.name, **one.spec.model_dump(mode="json", by_alias=True)} for one in waivers],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    waived = verdict.waived
    told = {
        "rule": verdict.rule,
        "gate": verdict.gate,
        "outcome": verdict.outcome,
        "blocks": verdict.blocks,
        "severity": verdict.severity,
        "deviceClass": verdict.device_class,
        "slice": verdict.slice,
        "measured": verdict.measured,
        "threshold": verdict.threshold,
        "evidence": verdict.evidence,
        "message": verdict.message,
        "waivedBy": waived.name if waived else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _history(contents: Contents) -> dict[str, Any]:
    signers = signers_of(
        contents.fleet.owners, {path: data for path, data in contents.files.items() if is_key_file(path)}
    )
    commits = []
    for commit in contents.about.history:
        raw = contents.objects.commit(commit)
        signature = commit_signature(raw, signers)
        blob = contents.objects.file(commit, contents.release.path)
        commits.append(
            {
                "commit": commit,
                **described(raw),
                "signature": signature.state,
                **({"signedBy": signature.by} if signature.by else {}),
                "rollout": rollout_of(contents.objects.get(blob, "blob")) if blob else "not declared",
            }
        )
    rows = read_rows(contents.member(LEDGER)) if LEDGER in contents.members else ()
    events = [{"at": row.at, "event": row.event, "key": row.key, "digest": row.digest} for row in rows]
    return {"commits": commits, "events": events, "gaps": gaps(rows)}


def _approval(approval: Approval) -> dict[str, str]:
    return {"by": approval.by, "at": approval.at.isoformat(), "commit": approval.commit, "of": approval.of or "change"}


def _json(value: Any) -> bytes:
    """For people and programs: one spelling, indented."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

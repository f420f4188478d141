"""Policy tests: small changes of this repository, judged by its own policies, with the verdicts they must come to.

Every case is played on commits that are written to a folder of their own and forgotten: the case's base (this
repository with the case's changes), and on top of it the proposed head.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from muster.check.judgement import Judgement
from muster.check.verdict import Verdict
from muster.kinds.errors import MusterError, Unusable
from muster.kinds.field_state import FieldState, GuardrailFact, Step
from muster.kinds.finding import Finding, Place
from muster.kinds.fleet import Fleet
from muster.kinds.policy_test import Expected, PolicyTest, Said
from muster.kinds.pull_request import Approval, ProposedCommit, PullRequest
from muster.review.played_changes import Unplayable, played, write
from muster.review.review import review
from muster.source import yaml_events
from muster.source.git import Repository, TreeEntry
from muster.source.git_program import printable
from muster.source.load import Loader
from muster.source.validate import validate
from muster.source.work_tree import differences, read_file
from muster.source.yaml_events import MAX_BYTES, Document, YamlFault

FOLDER = "policies/tests"
_DEVICES = 100


@dataclass(frozen=True)
class Outcome:
    """What became of one case: `complaints` are empty if it came out as expected."""

    name: str
    path: str
    complaints: tuple[Finding, ...]
    judgement: Judgement | None = None


@dataclass(frozen=True)
class _Written:
    """A case as it stands in its file."""

    path: str
    document: Document
    case: PolicyTest

    def complaint(self, path: yaml_events.Path, rule: str, message: str, hint: str) -> Finding:
        place = Place(self.path, *self.document.spot(path))
        return Finding(place, rule, printable(message), printable(hint))


def run_policy_tests(repository: Repository, *, committed: bool) -> Iterator[Outcome]:
    """Play every case below `policies/tests/`, of HEAD or (not `committed`) of the work tree.

    Raises `Unusable` if there is none: nothing played is not everything as expected. Raises `Refused` if the fleet that
    they begin from does not load.
    """
    with tempfile.TemporaryDirectory(prefix="muster-policy-test-") as folder, repository.scratch_objects(Path(folder)):
        start = repository.resolve("HEAD")
        if not committed and not repository.bare:
            start = _with_work_tree(repository, start)
        entries = repository.tree(start, [FOLDER])
        if not entries:
            raise Unusable(f"there are no cases in {FOLDER}/", "write one, or run this in the repository of a fleet")
        contents = repository.blobs(entry.blob for entry in entries if _is_readable(entry))
        read = [_read(entry, contents.get(entry.blob)) for entry in entries]
        # Cases are not part of what they judge: one that is broken keeps no other from being played.
        start = write(repository, start, {entry.path: None for entry in entries})
        loader = Loader()
        loader.commit(repository, start).fleet_or_refuse("the fleet that cases begin from")
        for found in read:
            yield _play(repository, loader, start, found) if isinstance(found, _Written) else found


def _with_work_tree(repository: Repository, head: str) -> str:
    changes: dict[str, bytes | None] = {}
    for path in differences(repository, head):
        present = (repository.path / path).is_file()
        changes[path] = read_file(repository.path, path, MAX_BYTES)[1] if present else None
    return write(repository, head, changes) if changes else head


def _is_readable(entry: TreeEntry) -> bool:
    return entry.mode.startswith("100") and entry.size <= MAX_BYTES


def _read(entry: TreeEntry, data: bytes | None) -> _Written | Outcome:
    """The case of a file; or everything that is wrong with it."""
    path = printable(entry.path)
    if data is None:
        problem = Finding(Place(path, 1, 1), "link", "not a regular file of at most 1 MiB", "put the case itself here")
        return Outcome(path, path, (problem,))
    try:
        document = yaml_events.parse(data)
    except YamlFault as fault:
        return Outcome(path, path, (Finding(Place(path, *fault.spot), fault.rule, fault.message, fault.hint),))
    case = validate(path, PolicyTest, document)
    if not isinstance(case, PolicyTest):
        return Outcome(path, path, tuple(case if isinstance(case, list) else ()))
    written, right = _Written(path, document, case), f"{FOLDER}/{case.metadata.name}.yaml"
    if entry.path == right:
        return written
    problem = written.complaint(("metadata", "name"), "path", f"the file is not {right}", "rename one of the two")
    return Outcome(path, path, (problem,))


def _play(repository: Repository, loader: Loader, start: str, written: _Written) -> Outcome:
    case, path = written.case, written.path
    name, now = case.metadata.name, _time(case.spec.at)
    try:
        base, head = played(repository, loader, start, case)
        fleet = loader.commit(repository, base).fleet_or_refuse("the base of the case")
        request = _request(case, base, head, now)
        judgement = review(repository, request, now, _controller(fleet, case.spec.controller, now), loader)
    except Unplayable as fault:
        return Outcome(name, path, (written.complaint(fault.path, "unplayable", fault.message, fault.hint),))
    except MusterError as error:
        at = ("spec", "base") if case.spec.base else ("spec", "head")
        return Outcome(
            name, path, (written.complaint(at, "unplayable", error.message, error.hint or "see muster check"),)
        )
    return Outcome(name, path, tuple(_complaints(written, judgement)), judgement)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _request(case: PolicyTest, base: str, head: str, now: datetime) -> PullRequest:
    author = case.spec.author
    return PullRequest(
        base=base,
        head=head,
        author=author,
        title=case.metadata.name,
        body=case.spec.body,
        approvals=tuple(Approval(login, head, now) for login in case.spec.approved_by),
        commits=(ProposedCommit(head, author),),
        forge="policy test",
    )


def _controller(fleet: Fleet, said: Said | None, now: datetime) -> FieldState | None:
    """What a controller would answer that says the same of everything on offer."""
    if said is None:
        return None
    since = _time(said.since)
    steps: dict[tuple[str, str], Step] = {}
    guardrails: dict[str, tuple[GuardrailFact, ...]] = {}
    outcome = "no-worse" if said.guardrails == "holds" else said.guardrails
    for release in fleet.releases:
        for cohort, ppm in release.spec.rollout.cohorts.items():
            steps[release.name, cohort] = Step(ppm, since)
        tier = fleet.tier(release)
        guardrails[release.name] = tuple(
            GuardrailFact(runtime.device_class, guardrail.name, outcome, "said by the policy test")
            for runtime in release.spec.runtimes
            for guardrail in (tier.guardrails if tier else ())
        )
    return FieldState(
        at=now,
        devices={
            (device_class.metadata.name, cohort.metadata.name): _DEVICES
            for device_class in fleet.device_classes
            for cohort in fleet.cohorts
        },
        guardrails=guardrails,
        steps=steps,
        stored=frozenset(release.spec.artifact.digest for release in fleet.releases),
    )


def _complaints(written: _Written, judgement: Judgement) -> Iterator[Finding]:
    spec = written.case.spec
    blocked = judgement.outcome == "blocked"
    if blocked != spec.blocked:
        found = [verdict for verdict in judgement.verdicts if verdict.blocks]
        reasons = "; ".join(f"{verdict.rule} of {verdict.subject}: {verdict.message}" for verdict in found[:10])
        message = f"expected {_blocked(spec.blocked)}, found {_blocked(blocked)}" + (f": {reasons}" if found else "")
        hint = "mend the policy, or the case if the policy is right"
        yield written.complaint(("spec", "blocked"), "unexpected", message, hint)
    for number, expected in enumerate(spec.expect):
        if not any(_fits(expected, verdict) for verdict in judgement.verdicts):
            message = f"no verdict {expected.rule} {expected.outcome}{_narrowed(expected)}"
            hint = _nearest(expected, judgement)
            yield written.complaint(("spec", "expect", number), "unexpected", message, hint)


def _blocked(blocked: bool) -> str:
    return "blocked" if blocked else "not blocked"


def _narrowed(expected: Expected) -> str:
    about = f" about {expected.subject}" if expected.subject else ""
    return about + (f" that says {expected.contains!r}" if expected.contains else "")


def _nearest(expected: Expected, judgement: Judgement) -> str:
    """What the rule said instead; or which rules said anything."""
    same = [verdict for verdict in judgement.verdicts if verdict.rule == expected.rule]
    if same:
        said = [f"{verdict.outcome} about {verdict.subject}: {verdict.message}" for verdict in same[:5]]
    else:
        said = sorted({f"{verdict.rule} {verdict.outcome}" for verdict in judgement.verdicts})[:20]
    return f"there is {'; '.join(said) or 'no verdict at all'}"


def _fits(expected: Expected, verdict: Verdict) -> bool:
    return (
        verdict.rule == expected.rule
        and verdict.outcome == expected.outcome
        and (expected.subject is None or verdict.subject == expected.subject)
        and (expected.contains is None or expected.contains in verdict.message)
    )

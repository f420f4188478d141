"""Policy tests: small changes of this repository, judged by its own policies, with the verdicts they must come to.

Every case is played on commits that are written to a folder of their own and forgotten: the case's base (this
repository with the case's changes), and on top of it the proposed head.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from muster.attest.evidence import evidence_path, sign_evidence
from muster.attest.keys import new_private_key, public_half
from muster.check.judgement import Judgement
from muster.check.verdict import Verdict
from muster.kinds.errors import MusterError, Refused
from muster.kinds.evidence import MEASUREMENT
from muster.kinds.field_state import FieldState, GuardrailFact, Step
from muster.kinds.fleet import Fleet
from muster.kinds.policy_test import Expected, FileChange, PolicyTest, Said
from muster.kinds.pull_request import Approval, CommitSignature, ProposedCommit, PullRequest
from muster.review.review import review
from muster.source.git import Repository
from muster.source.load import Loader
from muster.source.validate import validate
from muster.source.work_tree import differences, read_file
from muster.source.yaml_events import MAX_BYTES, YamlFault, parse

FOLDER = "policies/tests"
_AUTHOR = "Policy Test <policy-test@muster.invalid>"
_KEY_FILE = "policies/keys/policy-test.yaml"


@dataclass(frozen=True)
class Outcome:
    """What became of one case: `complaints` are empty if it came out as expected."""

    name: str
    path: str
    complaints: tuple[str, ...]
    judgement: Judgement | None = None


def run_policy_tests(repository: Repository, *, committed: bool) -> Iterator[Outcome]:
    """Play every case below `policies/tests/`, of HEAD or (not `committed`) of the work tree.

    Raises `Refused` for a case that does not load.
    """
    with tempfile.TemporaryDirectory(prefix="muster-policy-test-") as folder, repository.scratch_objects(Path(folder)):
        start = repository.resolve("HEAD")
        if not committed and not repository.bare:
            start = _with_work_tree(repository, start)
        loader = Loader()
        for path, case in _cases(repository, start):
            yield _play(repository, loader, start, path, case)


def _with_work_tree(repository: Repository, head: str) -> str:
    changes: dict[str, bytes | None] = {}
    for path in differences(repository, head):
        present = (repository.path / path).is_file()
        changes[path] = read_file(repository.path, path, MAX_BYTES)[1] if present else None
    return _commit(repository, head, changes) if changes else head


def _cases(repository: Repository, commit: str) -> Iterator[tuple[str, PolicyTest]]:
    entries = [entry for entry in repository.tree(commit, [FOLDER]) if entry.mode.startswith("100")]
    contents = repository.blobs(entry.blob for entry in entries if entry.size <= MAX_BYTES)
    for entry in entries:
        try:
            case = validate(entry.path, PolicyTest, parse(contents.get(entry.blob, b"")))
        except YamlFault as fault:
            line, column = fault.spot
            raise Refused(f"{entry.path}:{line}:{column}: {fault.message}", fault.hint) from fault
        if isinstance(case, list):
            raise Refused(f"{case[0].place}: {case[0].message}", case[0].hint)
        assert isinstance(case, PolicyTest)
        yield entry.path, case


def _play(repository: Repository, loader: Loader, start: str, path: str, case: PolicyTest) -> Outcome:
    name, spec = case.metadata.name, case.spec
    now = datetime.fromisoformat(spec.at).astimezone(UTC)
    try:
        base = _changed(repository, start, spec.base)
        head = _changed(repository, base, spec.head)
        if spec.measurements:
            base, head = _with_evidence(repository, loader, base, case)
        fleet = loader.commit(repository, base).fleet_or_refuse(f"the base of {name}")
        request = _request(case, base, head, now)
        judgement = review(repository, request, now, _controller(fleet, spec.controller, now), loader)
    except MusterError as error:
        return Outcome(name, path, (f"could not be judged: {error.message}",))
    return Outcome(name, path, tuple(_complaints(case, judgement)), judgement)


def _request(case: PolicyTest, base: str, head: str, now: datetime) -> PullRequest:
    author = case.spec.author
    return PullRequest(
        base=base,
        head=head,
        author=author,
        title=case.metadata.name,
        body=case.spec.body,
        approvals=tuple(Approval(login, head, now) for login in case.spec.approved_by),
        commits=(ProposedCommit(head, author, CommitSignature("good", "ssh", author)),),
        forge="policy test",
    )


def _changed(repository: Repository, parent: str, changes: tuple[FileChange, ...]) -> str:
    written: dict[str, bytes | None] = {}
    for change in changes:
        written[change.path] = _content(repository, parent, change)
    return _commit(repository, parent, written) if written else parent


def _content(repository: Repository, parent: str, change: FileChange) -> bytes | None:
    if sum((change.text is not None, bool(change.edits), change.delete)) != 1:
        raise Refused(f"{change.path}: exactly one of text, edits and delete is needed", "keep one of them")
    if change.delete:
        return None
    if change.text is not None:
        return change.text.encode()
    data = repository.show_file(parent, change.path)
    if data is None:
        raise Refused(f"{change.path} is not there to be edited", "give its whole text")
    text = data.decode()
    for edit in change.edits:
        if edit.find not in text:
            raise Refused(f"{change.path} does not hold {edit.find[:80]!r}", "quote what stands in the file")
        text = text.replace(edit.find, edit.replace, 1)
    return text.encode()


def _with_evidence(repository: Repository, loader: Loader, base: str, case: PolicyTest) -> tuple[str, str]:
    """Base and head again, with the case's measurements signed by a key that the base trusts for evidence."""
    key = new_private_key()
    base = _commit(repository, base, {_KEY_FILE: _key_file(public_half(key)).encode()})
    head = _changed(repository, base, case.spec.head)
    fleet = loader.commit(repository, head).fleet_or_refuse(f"the head of {case.metadata.name}")
    files: dict[str, bytes | None] = {}
    for number, measurement in enumerate(case.spec.measurements):
        release = fleet.release(measurement.release)
        if release is None:
            raise Refused(f"{measurement.release} is not declared in the case", "measure a release of the case")
        digest = release.spec.artifact.digest
        predicate = measurement.model_dump(mode="json", by_alias=True)
        signed = sign_evidence({"artifact": digest}, MEASUREMENT, predicate, key)
        files[evidence_path(digest, f"policy-test-{number}")] = signed
    return base, _commit(repository, head, files)


def _key_file(pem: str) -> str:
    lines = "".join(f"    {line}\n" for line in pem.splitlines())
    return (
        "apiVersion: muster/v1\nkind: SigningKey\nmetadata:\n  name: policy-test\nspec:\n  uses: [evidence]\n"
        f"  publicKey: |\n{lines}"
    )


def _controller(fleet: Fleet, said: Said | None, now: datetime) -> FieldState | None:
    """What a controller would answer that says the same of everything on offer."""
    if said is None:
        return None
    since = datetime.fromisoformat(said.since).astimezone(UTC)
    steps: dict[tuple[str, str], Step] = {}
    guardrails: dict[str, tuple[GuardrailFact, ...]] = {}
    for release in fleet.releases:
        for cohort, ppm in release.spec.rollout.cohorts.items():
            steps[release.name, cohort] = Step(ppm, since)
        tier = fleet.tier(release)
        guardrails[release.name] = tuple(
            GuardrailFact(runtime.device_class, guardrail.name, said.guardrails, "said by the policy test")
            for runtime in release.spec.runtimes
            for guardrail in (tier.guardrails if tier else ())
        )
    return FieldState(
        at=now,
        devices={},
        guardrails=guardrails,
        steps=steps,
        stored=frozenset(release.spec.artifact.digest for release in fleet.releases),
    )


def _commit(repository: Repository, parent: str, changes: Mapping[str, bytes | None]) -> str:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return repository.commit_files(parent, changes, "policy test", _AUTHOR, at)


def _complaints(case: PolicyTest, judgement: Judgement) -> Iterator[str]:
    blocked = judgement.outcome == "blocked"
    if blocked != case.spec.blocked:
        yield f"expected {_blocked(case.spec.blocked)}, found {_blocked(blocked)}"
        reasons = [verdict for verdict in judgement.verdicts if verdict.blocks]
        yield from [f"{verdict.rule} {verdict.subject}: {verdict.message}" for verdict in reasons[:10]]
    for expected in case.spec.expect:
        if not any(_fits(expected, verdict) for verdict in judgement.verdicts):
            said = sorted({f"{verdict.rule} {verdict.outcome}" for verdict in judgement.verdicts})
            yield f"no verdict {expected.rule} {expected.outcome}: there are {', '.join(said[:20]) or 'none'}"


def _blocked(blocked: bool) -> str:
    return "blocked" if blocked else "not blocked"


def _fits(expected: Expected, verdict: Verdict) -> bool:
    return (
        verdict.rule == expected.rule
        and verdict.outcome == expected.outcome
        and (expected.subject is None or verdict.subject == expected.subject)
        and (expected.contains is None or expected.contains in verdict.message)
    )

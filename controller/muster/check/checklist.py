"""The release readiness checklist: each item of the base's list, for each release that the change brings forward.

An item is answered by a gate (never ticked by hand: an approval of it does not count, and the verdict says so), by a
file at the head, or by an approval `of` "checklist/<item>" by a person of the role who wrote none of the change. Items
of the stage `post-release` are shown as due and do not block: nothing can answer them before the release.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from muster.check.case import Case
from muster.check.stakes import declared_tier, tier_held_to
from muster.check.verdict import Outcome, Verdict
from muster.kinds.checklist import Checklist, Item
from muster.kinds.finding import Pointer
from muster.kinds.policy import GateMetric, TierName
from muster.kinds.release import Release

PATH = "policies/checklist.yaml"
_WORST: Mapping[Outcome, int] = {"pass": 0, "inconclusive": 1, "error": 2, "fail": 3}
_SHOWN = 8


def checklist_verdicts(case: Case, gate_verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """One verdict per item and release. `gate_verdicts` are those of the gates, with waivers applied."""
    by_release: dict[str, list[Verdict]] = {}
    for verdict in gate_verdicts:
        by_release.setdefault(verdict.subject, []).append(verdict)
    checklist = case.change.base.checklist
    for release in case.change.judged:
        name = tier_held_to(case, release)
        tier = declared_tier(case.change.base, name)
        if tier is None or not tier.checklist:
            continue
        if checklist is None:
            yield _no_checklist(release, name)
            continue
        for item in _items(checklist, name):
            yield _verdict(case, item, release, by_release.get(release.name, ()))


def checklist_files(checklist: Checklist | None, releases: Iterable[Release]) -> tuple[str, ...]:
    """Paths at the head that the items about these releases may be answered by; for `Case.files`."""
    items = checklist.spec.items if checklist else ()
    return tuple(
        sorted(
            {file_of(item.answered_by.file, release) for release in releases for item in items if item.answered_by.file}
        )
    )


def file_of(pattern: str, release: Release) -> str:
    """The file that answers for this release: the first `*` stands for its model, the second for its version."""
    return pattern.replace("*", release.model, 1).replace("*", release.version, 1)


def _items(checklist: Checklist, tier: TierName) -> tuple[Item, ...]:
    return tuple(item for item in checklist.spec.items if tier in item.tiers)


def _no_checklist(release: Release, tier: TierName) -> Verdict:
    return Verdict(
        rule="checklist/declared",
        subject=release.name,
        outcome="fail",
        message=f"{tier} asks for a checklist, and the base declares none",
        hint=f"merge {PATH} first, in a change of its own",
        tier=tier,
    )


def _verdict(case: Case, item: Item, release: Release, gates: Sequence[Verdict]) -> Verdict:
    by = item.answered_by
    if by.gate is not None:
        found = _by_gate(case, item, by.gate, gates)
    elif by.file is not None:
        found = _by_file(case, file_of(by.file, release))
    else:
        found = _by_approval(case, item)
    found = replace(
        found,
        rule=f"checklist/{item.name}",
        subject=release.name,
        tier=tier_held_to(case, release),
        where=_where(case, item),
    )
    if item.stage == "post-release" and found.outcome != "pass":
        due = f"{item.statement}: due after the release ({found.message})"
        return replace(found, outcome="inconclusive", severity="warn", message=due)
    return replace(found, message=f"{item.statement}: {found.message}")


def _where(case: Case, item: Item) -> Pointer:
    checklist = case.change.base.checklist
    return Pointer(PATH, ("spec", "items", checklist.spec.items.index(item)) if checklist else ())


def _answer(outcome: Outcome, message: str, hint: str = "") -> Verdict:
    return Verdict("checklist/item", "", outcome, message, hint)


def _by_gate(case: Case, item: Item, metric: GateMetric, verdicts: Sequence[Verdict]) -> Verdict:
    asked = [verdict for verdict in verdicts if verdict.rule == f"gate/{metric}"]
    answer = _from_gates(metric, asked)
    ticked = case.reviews.approved_by(_everybody(case), _of(item))
    if ticked:
        answer = replace(
            answer, message=f"{answer.message}; ticked by {', '.join(ticked[:_SHOWN])}, which does not count"
        )
    return answer


def _from_gates(metric: GateMetric, asked: Sequence[Verdict]) -> Verdict:
    if not asked:
        return _answer(
            "fail", f"no gate on {metric} was asked", f"declare a gate on {metric} in the tier, in the policy"
        )
    open_ones = [verdict for verdict in asked if verdict.outcome != "pass"]
    if not open_ones:
        return _answer("pass", f"the gate on {metric} holds ({len(asked)} of {len(asked)})")
    # What blocks comes first; a waiver or a gate that only warns carries over to the item only if no other is open.
    first = max(open_ones, key=lambda verdict: (verdict.blocks, _WORST[verdict.outcome]))
    answer = _answer(
        max((verdict.outcome for verdict in open_ones), key=_WORST.__getitem__),
        f"the gate on {metric} does not hold ({len(asked) - len(open_ones)} of {len(asked)}): {first.message}",
        first.hint,
    )
    return replace(answer, severity=first.severity, waived=first.waived, evidence=first.evidence)


def _by_file(case: Case, path: str) -> Verdict:
    text = case.files.get(path)
    if text is None:
        return _answer("fail", f"{path} is not at the head, or cannot be read", f"write {path} in this change")
    if not text.strip():
        return _answer("fail", f"{path} is empty", f"write down in {path} what was found")
    return _answer("pass", f"{path} answers it")


def _by_approval(case: Case, item: Item) -> Verdict:
    role = item.answered_by.approval
    assert role is not None
    of = _of(item)
    people = case.reviews.with_role(role)
    given = case.reviews.approved_by(people, of)
    if given:
        return _answer("pass", f"approved by {', '.join(given[:_SHOWN])}")
    able = case.reviews.eligible(people)
    who = (
        ", ".join(able[:_SHOWN]) or f"nobody: name another person of {role} in policies/owners.yaml, in a change before"
    )
    hint = f"approve {of} at this head; could do so: {who}"
    if not case.request.forge:
        return _answer("inconclusive", "nobody said who approved", f"{hint}; let `muster check --approvals git` ask")
    older = [login for login in case.reviews.outdated(of) if login in people]
    late = f"; {', '.join(older[:_SHOWN])} approved an older commit, which does not count" if older else ""
    return _answer("fail", f"no approval of {of} by {role}{late}", hint)


def _everybody(case: Case) -> tuple[str, ...]:
    owners = case.change.base.owners
    return tuple(person.login for person in owners.spec.people) if owners else ()


def _of(item: Item) -> str:
    return f"checklist/{item.name}"

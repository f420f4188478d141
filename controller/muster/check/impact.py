"""Diagram and playbook impact: a change that others have to understand changes what explains it, or says why not.

Which changes those are is in the `impact` rules of the base's policies. A document counts as changed if it stands at
the head and shows something else than before: white space and comments do not count, a deletion does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from muster.check.case import Case
from muster.check.change import Touched, resources_of
from muster.check.documents.readable import Bounds, objections
from muster.check.documents.tree import DIAGRAMS, PLAYBOOKS, REQUIRED
from muster.check.field_changes import changed_fields, touches
from muster.check.impact_line import Needs, impact_line, key_of
from muster.check.paths import matches
from muster.check.verdict import Outcome, Verdict
from muster.kinds.device_class import DeviceClass
from muster.kinds.finding import Pointer
from muster.kinds.policy import ImpactRule
from muster.kinds.resource import Resource

_MOST_NAMED = 3
_MOST_CHARACTERS = 2 * 2**20
"""Of all documents that a change touches, before and after."""

_Answer = tuple[Outcome, str, str]
"""Outcome, message and hint."""


@dataclass(frozen=True)
class _Kind:
    """One kind of document. `shown` is what counts of its text."""

    folder: str
    ending: str
    bounds: Bounds
    shown: Callable[[str], tuple[str, ...]]


@cache
def _kind(needs: Needs) -> _Kind:
    # What reads documents is loaded for a change that has to bring one.
    from muster.check.documents import diagram, playbook

    if needs == "diagram":
        return _Kind(DIAGRAMS, ".mmd", diagram.BOUNDS, diagram.drawn)
    return _Kind(PLAYBOOKS, ".md", playbook.BOUNDS, playbook.said)


def impact_verdicts(case: Case) -> Iterator[Verdict]:
    """One verdict for each impact rule of the base that the change falls under, and for each document it takes away."""
    yield from _removed(case)
    rules = [rule for policy in case.change.base.policies for rule in policy.spec.impact]
    fields = _fields(case) if any(rule.fields for rule in rules) else {}
    answers: dict[Needs, _Answer] = {}
    for rule in rules:
        concerned = _concerned(case, rule, fields)
        if concerned:
            if rule.needs not in answers:
                answers[rule.needs] = _answer(case, rule.needs)
            yield _verdict(rule, concerned, answers[rule.needs])


def _removed(case: Case) -> Iterator[Verdict]:
    """Nothing else notices if all documents go at once: a fleet without any is not held to them."""
    for file in case.change.touched:
        if file.path in REQUIRED and file.after is None:
            yield Verdict(
                "document/removed",
                file.path,
                "fail",
                "the change takes a document away that every fleet with documents has",
                "bring the file back; change it instead",
                where=Pointer(file.path),
            )


def _fields(case: Case) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """Path → a release or device class that is declared differently, as plain data, and the fields that differ.

    Releases that go are left out: a rollback waits for no document.
    """
    change = case.change
    resources: dict[str, Resource] = {
        path: found
        for fleet in (change.base, change.head)
        for path, found in resources_of(fleet).items()
        if isinstance(found, DeviceClass)
    }
    resources |= {release.path: release for release in change.head.releases}
    return {
        path: (resources[path].model_dump(mode="json", by_alias=True), fields)
        for path, fields in changed_fields(case.change).items()
        if path in resources
    }


def _concerned(case: Case, rule: ImpactRule, fields: dict[str, tuple[Any, tuple[str, ...]]]) -> list[str]:
    """Paths of what falls under the rule, sorted."""
    touched = {file.path for file in case.change.touched if any(matches(pattern, file.path) for pattern in rule.paths)}
    declared = {
        path
        for path, (resource, changed) in fields.items()
        if any(_has(resource, field) and touches(field, changed) for field in rule.fields)
    }
    return sorted(touched | declared)


def _has(resource: Any, field: str) -> bool:
    """True if this kind of resource has such a field: `spec.hardware` is about device classes, not about releases."""
    for step in field.split("."):
        if not isinstance(resource, dict) or step not in resource:
            return False
        resource = resource[step]
    return True


def _verdict(rule: ImpactRule, concerned: list[str], answer: _Answer) -> Verdict:
    outcome, message, hint = answer
    others, more = ", ".join(concerned[1:_MOST_NAMED]), len(concerned) - _MOST_NAMED
    also = f"; {others}{f' and {more} more' if more > 0 else ''} ask for it, too" if others else ""
    return Verdict(
        f"document/{rule.needs}",
        concerned[0],
        outcome,
        f"{message} ({rule.name}: {rule.why}){also}",
        hint,
        where=Pointer(concerned[0]),
    )


def _answer(case: Case, needs: Needs) -> _Answer:
    """What the change says for itself: the same for every rule that needs this."""
    kind = _kind(needs)
    hint = (
        f"change what {kind.folder} shows, or write a line `{key_of(needs)}: none: <why>` into the pull request's text"
    )
    changed, unknown = _changed(case, kind)
    if changed is not None:
        return "pass", f"{changed} changes, too", ""
    line = impact_line(case.request.body, needs)
    if line.why:
        return "pass", f"no {needs} changes, since: {line.why}", ""
    if line.problem:
        return "fail", f"no {needs} changes, and {line.problem}", hint
    if unknown is not None:
        return "error", f"whether {unknown} shows something else cannot be told", "keep it readable and small"
    if not case.request.forge:
        return "inconclusive", f"no {needs} changes, and no pull request was read that could say why", hint
    return "fail", f"no {needs} changes, and the pull request does not say why", hint


def _changed(case: Case, kind: _Kind) -> tuple[str | None, str | None]:
    """The first such document that shows something else than before, and the first of which that cannot be told."""
    unknown: str | None = None
    room = _MOST_CHARACTERS
    for file in case.change.touched:
        if not _stands(file, kind):
            continue
        after = case.files.get(file.path)
        before = "" if file.before is None else case.base_files.get(file.path)
        room -= len(after or "") + len(before or "")
        if after is None or before is None or room < 0 or not _is_bounded(after, kind) or not _is_bounded(before, kind):
            unknown = unknown or file.path
        elif kind.shown(after) not in (kind.shown(before), ()):
            return file.path, unknown
    return None, unknown


def _stands(file: Touched, kind: _Kind) -> bool:
    """True if the file is such a document, and a regular file at the head."""
    named = file.path.startswith(kind.folder) and file.path.endswith(kind.ending)
    return named and file.after is not None and file.mode is not None and file.mode.startswith("100")


def _is_bounded(text: str, kind: _Kind) -> bool:
    return next(objections("", text.replace("\r\n", "\n"), kind.bounds), None) is None

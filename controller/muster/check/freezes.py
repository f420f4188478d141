"""Freezes: when nothing may move forward, until when, and who let a change through nevertheless.

Rules: the freezes of the base hold, never those of the head. Deny beats allow; of several allowed windows, one open is
enough. Whatever only takes devices back passes, and the verdict says so. An override needs one of the freeze's owners
who wrote none of the change, and their approval of exactly this head: either of `freeze/<name>`, or of the change with
one line in the message of a proposed commit that says why:

    Freeze-Override: <name>: <why>

It has to stand in a commit, because that is what the owner approves: the text of a pull request can be changed later.

A change of cohorts, or a class that takes up a model, moves devices of all models that are on offer there: it is held
like a release that is widened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from muster.check.case import Case
from muster.check.change import Change, path_of
from muster.check.documents.readable import foreign_letter, hidden_character
from muster.check.impact_line import MOST_CHARACTERS, lines_of
from muster.check.stakes import tier_held_to
from muster.check.verdict import Verdict
from muster.kinds.finding import Pointer
from muster.kinds.freeze import Freeze
from muster.kinds.policy import TierName
from muster.plan.frozen import lifts_at, meant
from muster.plan.schedules import Timeline, timeline

RULE: Final = "transition/freeze"
KEY: Final = "Freeze-Override"
_MOST_WHY: Final = 500
_SHOWN: Final = 8
_OVERRIDE = re.compile(r"([a-z0-9-]{1,63}) ?: ?(.+)")


@dataclass(frozen=True)
class Forward:
    """What would move forward: a release, or (`release` is None) whatever is on offer where cohorts or classes change.

    `reach` holds (model, cohort).
    """

    subject: str
    reach: tuple[tuple[str, str], ...]
    where: Pointer
    tier: TierName | None


@dataclass(frozen=True)
class _Override:
    """Who let a change through, and why."""

    by: str
    why: str


@dataclass(frozen=True)
class _Frozen:
    """A freeze that holds something up: the cohorts, and the moment from which on nothing does (None: not foreseen)."""

    freezes: tuple[Freeze, ...]
    cohorts: tuple[str, ...]
    lifts_at: datetime | None


def freeze_verdicts(case: Case) -> Iterator[Verdict]:
    """One verdict for every freeze that holds up something; none where nothing is frozen."""
    freezes = case.change.base.freezes
    if not freezes:
        return
    timelines: dict[str, Timeline] = {}
    for freeze in freezes:
        try:
            timelines[freeze.metadata.name] = timeline(freeze.spec, case.now)
        except ValueError as error:
            yield _unreadable(freeze, str(error))
    known = [freeze for freeze in freezes if freeze.metadata.name in timelines]
    going_back = case.change.is_rollback
    for forward in _going_back(case) if going_back else forwards(case):
        for frozen in _frozen(forward, known, timelines, case.now):
            yield _passes(forward, frozen) if going_back else _verdict(case, forward, frozen)


def forwards(case: Case) -> Iterator[Forward]:
    """Everything in the change that moves devices to what they do not have yet, or may do so."""
    for move in case.change.moves:
        reach = tuple(
            (move.release.model, cohort)
            for cohort, ppm in sorted(move.after.items())
            if ppm > move.before.get(cohort, 0) or move.resalted
        )
        if reach:
            where = Pointer(move.release.path, ("spec", "rollout", "cohorts"))
            yield Forward(move.release.name, reach, where, tier_held_to(case, move.release))
    yield from _cohorts_changed(case.change)
    yield from _classes_changed(case.change)


def _cohorts_changed(change: Change) -> Iterator[Forward]:
    before = {cohort.metadata.name: cohort for cohort in change.base.cohorts}
    after = {cohort.metadata.name: cohort for cohort in change.head.cohorts}
    reach = tuple((model, cohort) for model in _on_offer(change) for cohort in sorted(before.keys() | after.keys()))
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if (old.spec if old else None) != (new.spec if new else None) and reach:
            path = path_of(new or old)  # type: ignore[arg-type]
            yield Forward(path, reach, Pointer(path), None)


def _classes_changed(change: Change) -> Iterator[Forward]:
    """A class that existed, and now takes up a model."""
    before = {found.metadata.name: set(found.spec.models) for found in change.base.device_classes}
    cohorts = [cohort.metadata.name for cohort in change.head.cohorts]
    for found in change.head.device_classes:
        taken_up = set(found.spec.models) - before.get(found.metadata.name, set(found.spec.models))
        reach = tuple((model, cohort) for model in sorted(taken_up & set(_on_offer(change))) for cohort in cohorts)
        if reach:
            yield Forward(path_of(found), reach, Pointer(path_of(found), ("spec", "models")), None)


def _on_offer(change: Change) -> list[str]:
    return sorted({release.model for release in change.head.releases if release.spec.rollout.reaches_any})


def _going_back(case: Case) -> Iterator[Forward]:
    for move in case.change.moves:
        reach = tuple((move.release.model, name) for name, ppm in sorted(move.before.items()) if ppm)
        where = Pointer(move.release.path, ("spec", "rollout", "cohorts"))
        yield Forward(move.release.name, reach, where, move.release.spec.tier)


def _frozen(
    forward: Forward, freezes: Sequence[Freeze], timelines: Mapping[str, Timeline], now: datetime
) -> Iterator[_Frozen]:
    """Each deny window that is open; and the allowed windows of which none is, taken together."""
    closed: dict[tuple[Freeze, ...], list[str]] = {}
    open_denials: dict[Freeze, list[str]] = {}
    lifts: dict[str, datetime | None] = {}
    for model, cohort in forward.reach:
        deny, allow = meant(freezes, "deny", model, cohort), meant(freezes, "allow", model, cohort)
        open_now = [freeze for freeze in deny if timelines[freeze.metadata.name].at(now)]
        for freeze in open_now:
            open_denials.setdefault(freeze, []).append(cohort)
        shut = bool(allow) and not any(timelines[freeze.metadata.name].at(now) for freeze in allow)
        if shut:
            closed.setdefault(allow, []).append(cohort)
        if open_now or shut:
            moment = lifts_at(
                [timelines[f.metadata.name] for f in deny], [timelines[f.metadata.name] for f in allow], now
            )
            lifts[cohort] = _later(lifts[cohort], moment) if cohort in lifts else moment
    for freeze, cohorts in open_denials.items():
        yield _Frozen((freeze,), tuple(dict.fromkeys(cohorts)), _latest(lifts, cohorts))
    for allow, cohorts in closed.items():
        yield _Frozen(allow, tuple(dict.fromkeys(cohorts)), _latest(lifts, cohorts))


def _lines(freezes: Sequence[Freeze], timelines: Mapping[str, Timeline]) -> list[Timeline]:
    return [timelines[freeze.metadata.name] for freeze in freezes]


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def _latest(lifts: Mapping[str, datetime | None], cohorts: Sequence[str]) -> datetime | None:
    found: datetime | None = lifts[cohorts[0]]
    for cohort in cohorts[1:]:
        found = _later(found, lifts[cohort])
    return found


def _unreadable(freeze: Freeze, why: str) -> Verdict:
    path = path_of(freeze)
    return Verdict(
        RULE,
        path,
        "error",
        f"the freeze {freeze.metadata.name} cannot be read: {why}",
        "correct it in a change of its own, which moves no device",
        where=Pointer(path),
    )


def _passes(forward: Forward, frozen: _Frozen) -> Verdict:
    return Verdict(
        RULE,
        forward.subject,
        "pass",
        f"{_said(frozen)} does not hold this up: it only takes devices back",
        tier=forward.tier,
        where=forward.where,
    )


def _verdict(case: Case, forward: Forward, frozen: _Frozen) -> Verdict:
    until = f"until {_shown(frozen.lifts_at)}" if frozen.lifts_at else "with no end in sight"
    override, problems = _overridden(case, frozen)
    message = f"{_said(frozen)} holds up {_cohorts(frozen.cohorts)} {until}: {_reasons(frozen)}"
    if override is not None:
        message = f"{_said(frozen)} is overridden by {override.by}: {override.why}"
    return Verdict(
        rule=RULE,
        subject=forward.subject,
        outcome="fail" if override is None else "pass",
        message=message,
        hint="" if override else _hint(frozen, problems),
        tier=forward.tier,
        lifts_at=frozen.lifts_at.isoformat() if frozen.lifts_at and override is None else None,
        where=forward.where,
    )


def _overridden(case: Case, frozen: _Frozen) -> tuple[_Override | None, tuple[str, ...]]:
    """The override of one of the freezes that counts, else why none does."""
    lines, problem = override_lines(case.messages)
    problems = [problem] if problem else []
    for freeze in frozen.freezes:
        name, owners = freeze.metadata.name, freeze.spec.override_owners
        why = lines.get(name)
        narrow = case.reviews.approved_by(owners, f"freeze/{name}")
        if narrow:
            return _Override(", ".join(narrow), why or f"approved as freeze/{name}"), ()
        if why is not None:
            plain = case.reviews.approved_by(owners)
            if plain:
                return _Override(", ".join(plain), why), ()
            problems.append(f"the override of {name} lacks the approval of {_listed(case.reviews.eligible(owners))}")
    return None, tuple(problems)


def override_lines(messages: str) -> tuple[dict[str, str], str]:
    """Name of a freeze → why it is to be overridden, by the proposed commits; and why a line does not count."""
    if len(messages) > MOST_CHARACTERS:
        return {}, f"the commits' messages have more than {MOST_CHARACTERS} characters"
    found: dict[str, str] = {}
    twice: set[str] = set()
    problem = ""
    for line in lines_of(messages, KEY):
        match = _OVERRIDE.fullmatch(line)
        if match is None or len(match[2]) > _MOST_WHY:
            problem = f"a line does not say `{KEY}: <name>: <why>` in {_MOST_WHY} characters"
        elif hidden_character(line) is not None or foreign_letter(line) is not None:
            problem = f"a line `{KEY}` holds characters that do not show, or may look like others"
        elif match[1] in found:
            twice.add(match[1])
            problem = f"`{KEY}` stands twice for {match[1]}"
        else:
            found[match[1]] = match[2]
    return {name: why for name, why in found.items() if name not in twice}, problem


def _hint(frozen: _Frozen, problems: Sequence[str]) -> str:
    able = [freeze for freeze in frozen.freezes if freeze.spec.override_owners]
    wait = f"merge it after {_shown(frozen.lifts_at)}" if frozen.lifts_at else "merge it when the freeze is gone"
    if not able:
        return "; ".join((*problems, f"{wait}; nobody may override it"))
    name, owners = able[0].metadata.name, able[0].spec.override_owners
    way = f"write `{KEY}: {name}: <why>` into the commit's message and have it approved by {_listed(owners)}"
    return "; ".join((*problems, f"{wait}, or {way}"))


def _said(frozen: _Frozen) -> str:
    names = _listed([freeze.metadata.name for freeze in frozen.freezes])
    if frozen.freezes[0].spec.effect == "deny":
        return f"the freeze {names}"
    return f"the time outside of {names}"


def _reasons(frozen: _Frozen) -> str:
    return _listed(list(dict.fromkeys(freeze.spec.reason for freeze in frozen.freezes)))


def _cohorts(names: Sequence[str]) -> str:
    return f"{'cohort' if len(names) == 1 else 'cohorts'} {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "nobody") + more


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

"""Weakening: what a change would take away from the rules that judge changes.

Rules it keeps:
- The base is the measure. Strengthening is never a finding, neither is a new order, a new unit or a new name.
- What cannot be compared counts as weaker, and says so.
- Nothing here decides who approved: all are yielded as `fail`, and `lift_weakenings` lifts what policy owners approved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from muster.check.change import Change
from muster.check.verdict import Verdict
from muster.check.weakening.channels import weakened_channels
from muster.check.weakening.exceptions import weakened_freezes, weakened_waivers
from muster.check.weakening.looser import Weakening
from muster.check.weakening.people import weakened_owners
from muster.check.weakening.proofs import weakened_checklist, weakened_tests, weakened_trust
from muster.check.weakening.stakes import lowered_tiers, weakened_classes
from muster.check.weakening.tiers import weakened_policy
from muster.kinds.owners import Owners


def weakenings(change: Change, author: str | None) -> Iterator[Verdict]:
    """A failed, blocking verdict `weakening/<what>` for everything that the change loosens.

    `author` is the login of who asks for the change, None if nobody can tell. `where` points into the head's file, or
    into the base's where the whole file is gone.
    """
    hint = _hint(change.base.owners, author)
    for found in _all(change, author):
        yield Verdict(
            rule=f"weakening/{found.what}",
            subject=found.where.file,
            outcome="fail",
            message=found.message,
            hint=hint,
            where=found.where,
        )


def lift_weakenings(verdicts: Iterable[Verdict], approved_by: tuple[str, ...], needed: int) -> tuple[Verdict, ...]:
    """The verdicts, with weakenings passed if `needed` different people (at least one) are in `approved_by`.

    `approved_by` are policy owners of the base, without the author: who counts is decided by the caller. Verdicts of
    other sections stay as they are.
    """
    people = {login.casefold(): login for login in approved_by}
    if len(people) < max(needed, 1):
        return tuple(verdicts)
    names = ", ".join(people[login] for login in sorted(people))
    return tuple(
        replace(verdict, outcome="pass", message=f"{verdict.message}; approved by {names}", hint="")
        if verdict.section == "weakening" and verdict.outcome == "fail"
        else verdict
        for verdict in verdicts
    )


def _all(change: Change, author: str | None) -> Iterator[Weakening]:
    base, head = change.base, change.head
    yield from weakened_policy(base, head)
    yield from weakened_owners(base.owners, head.owners, author)
    yield from weakened_trust(change)
    yield from weakened_freezes(base, head, author)
    yield from weakened_waivers(base, head)
    yield from weakened_channels(base, head)
    yield from weakened_checklist(base.checklist, head.checklist)
    yield from weakened_tests(change)
    yield from weakened_classes(base, head)
    yield from lowered_tiers(change)


def _hint(owners: Owners | None, author: str | None) -> str:
    named = owners.spec.policy_owners if owners else ()
    able = sorted({login for login in named if author is None or login.casefold() != author.casefold()})
    if not able:
        return "take it back: the base names no policy owner who could approve it"
    return f"take it back, or get the approval of a policy owner that the base names: {', '.join(able)}"

"""Path rules of the owners file: whether every path still asks for at least the approvals that it asked for.

The last rule that matches counts, so a rule can be weakened by what stands after it. For each pattern of the base: the
head must have a rule that contains it and asks for as much, and no later rule that might take some of its paths and
asks for less, unless that very pattern took them from it before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from muster.check.change import path_of
from muster.check.weakening.looser import GONE, Weakening, listed
from muster.check.weakening.patterns import covers, field_covers, may_overlap
from muster.kinds.finding import Pointer
from muster.kinds.owners import Owners, Ownership


def weakened_ownership(base: Owners, head: Owners, author: str | None) -> Iterator[Weakening]:
    """Every rule of the base for which some path asks for less at the head: one weakening per rule and cause."""
    if base.spec.paths == head.spec.paths:
        return
    before, after = (sum(len(rule.paths) for rule in owners.spec.paths) for owners in (base, head))
    if before * after > _MOST_PAIRS:
        where = Pointer(path_of(head), ("spec", "paths"))
        why = "too many to be compared, which counts as weaker"
        yield Weakening("owners", "path rules", f"{before} patterns", f"{after} patterns", where, why)
        return
    for index, old in enumerate(base.spec.paths):
        later = base.spec.paths[index + 1 :]
        told: set[int | None] = set()
        for pattern in old.paths:
            cause = _cause(old, pattern, later, head.spec.paths)
            if cause == _KEPT or cause in told:
                continue
            told.add(cause)
            yield _weakening(old, pattern, cause, head, author)


_KEPT = -1
_MOST_PAIRS = 250_000
"""Patterns of the base times patterns of the head: a few seconds at the most."""


def _cause(old: Ownership, pattern: str, later: tuple[Ownership, ...], now: tuple[Ownership, ...]) -> int | None:
    """The index of the rule at the head that asks for less; `_KEPT` if none does; None if no rule is left."""
    containing = [index for index, new in enumerate(now) if _contains(new, old, pattern)]
    if not containing:
        return None
    for index in range(containing[-1], len(now)):
        new = now[index]
        if not _asks_as_much(old, new) and _may_take(old, pattern, new, later):
            return index
    return _KEPT


def _contains(new: Ownership, old: Ownership, pattern: str) -> bool:
    return set(new.fields) == set(old.fields) and any(covers(wide, pattern) for wide in new.paths)


def _may_take(old: Ownership, pattern: str, new: Ownership, later: tuple[Ownership, ...]) -> bool:
    """True if `new` may decide for a path of `pattern` (or a field of `old`) that no later rule decided for before."""
    before = {(path, frozenset(rule.fields)) for rule in later if _asks_as_much(rule, new) for path in rule.paths}
    fields = frozenset(new.fields)
    taken = [path for path in new.paths if may_overlap(path, pattern) and (path, fields) not in before]
    if taken:
        return True
    known = {field for rule in later if _asks_as_much(rule, new) for field in rule.fields}
    shared = [
        field
        for field in new.fields
        if any(field_covers(field, asked) or field_covers(asked, field) for asked in old.fields)
    ]
    return any(field not in known for field in shared)


def _asks_as_much(old: Ownership, new: Ownership) -> bool:
    """True if no approval that satisfies `new` would have failed `old`."""
    owners, now = _folded(old.owners), _folded(new.owners)
    if owners and not (now and now <= owners):
        return False
    return Counter(old.roles) <= Counter(new.roles)


def _weakening(old: Ownership, pattern: str, cause: int | None, head: Owners, author: str | None) -> Weakening:
    file = path_of(head)
    about = f"owners of {pattern}"
    if cause is None:
        return Weakening("owners", about, _asked(old), GONE, Pointer(file, ("spec", "paths")), "no rule is left for it")
    new = head.spec.paths[cause]
    added = _folded(new.owners) - _folded(old.owners)
    why = ""
    if author is not None and author.casefold() in added:
        why = f"{author} asks for this change and would approve it"
    elif pattern not in new.paths:
        why = f"by the rule for {new.paths[0]}, which may decide for some of these paths"
    return Weakening("owners", about, _asked(old), _asked(new), Pointer(file, ("spec", "paths", cause)), why)


def _asked(rule: Ownership) -> str:
    parts = []
    if rule.owners:
        parts.append(f"one of {listed(rule.owners)}")
    if rule.roles:
        parts.append(f"roles {listed(rule.roles)}")
    if rule.fields:
        parts.append(f"for fields {listed(rule.fields)}")
    return "; ".join(parts) or GONE


def _folded(names: tuple[str, ...]) -> set[str]:
    return {name.casefold() for name in names}

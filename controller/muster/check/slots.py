"""Slots: how many of the approvals that a rule asks for are given, if every person may give one only.

A rule asks for approvals in groups ("two of ml, one of security"). A person with several roles could fill a slot in
each group, but fills one: the largest assignment of people to slots is looked for (augmenting paths, Kuhn 1955).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """`count` of these slots must be filled; each slot names the logins that may fill it.

    A group with more slots than `count` stands alone in its rule: it would take people from the others.
    """

    slots: tuple[frozenset[str], ...]
    count: int

    @property
    def by(self) -> tuple[str, ...]:
        """Everybody who may fill one of the slots."""
        return tuple(sorted(frozenset().union(*self.slots)))


def filled(groups: Sequence[Group], people: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """For each group, who of `people` fills its slots, sorted, at most `count` of them. Nobody stands in two."""
    slots = [(number, slot) for number, group in enumerate(groups) for slot in group.slots]
    holders: dict[int, str] = {}
    for index in range(len(slots)):
        _assign(index, [slot for _, slot in slots], sorted(people), holders, set())
    held: list[list[str]] = [[] for _ in groups]
    for index, person in sorted(holders.items()):
        held[slots[index][0]].append(person)
    return tuple(tuple(sorted(found[: group.count])) for group, found in zip(groups, held, strict=True))


def _assign(
    index: int, slots: list[frozenset[str]], people: list[str], holders: dict[int, str], tried: set[str]
) -> bool:
    """Fill one slot, and move those who hold others if that helps. Each call tries every person once at most."""
    for person in people:
        if person not in slots[index] or person in tried:
            continue
        tried.add(person)
        held = next((other for other, holder in holders.items() if holder == person), None)
        if held is None or _assign(held, slots, people, holders, tried):
            holders[index] = person
            return True
    return False

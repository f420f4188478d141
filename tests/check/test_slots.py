"""slots: the most approvals that a set of people can give, each person one."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from muster.check.slots import Group, filled

PEOPLE = "abcd"
slots = st.frozensets(st.sampled_from(PEOPLE), max_size=3)
groups = st.lists(st.lists(slots, min_size=1, max_size=2).map(tuple), min_size=1, max_size=3)


def most(every: list[frozenset[str]], people: set[str]) -> int:
    """By trying every order of slots: how many can be filled."""
    best = 0
    for order in permutations(range(len(every))):
        options = [(0, frozenset[str]())]
        for index in order:
            options += [
                (count + 1, used | {person})
                for count, used in options
                for person in every[index] & people
                if person not in used
            ]
        best = max(best, *(count for count, _ in options))
    return best


@given(groups, st.sets(st.sampled_from(PEOPLE)))
def test_as_many_slots_as_possible_are_filled(given_groups, people):
    """Nobody stands twice, everybody stands where they may, and no assignment fills more slots."""
    asked = [Group(tuple(one), len(one)) for one in given_groups]
    found = filled(asked, people)
    standing = [person for by in found for person in by]
    assert len(set(standing)) == len(standing)
    assert set(standing) <= people
    assert all(person in group.by for group, by in zip(asked, found, strict=True) for person in by)
    assert most([slot for one in given_groups for slot in one], people) == len(standing)


@given(groups, st.sets(st.sampled_from(PEOPLE)), st.sampled_from(PEOPLE))
def test_another_approval_never_takes_one_away(given_groups, people, another):
    """With one person more, as many slots are filled or more."""
    asked = [Group(tuple(one), len(one)) for one in given_groups]
    fewer, more = filled(asked, people - {another}), filled(asked, people | {another})
    assert sum(map(len, fewer)) <= sum(map(len, more))


def test_one_moves_to_let_another_in():
    """Who could fill two slots fills the one that nobody else can."""
    ml = Group((frozenset({"grace", "ada"}),), 1)
    firmware = Group((frozenset({"grace"}),), 1)
    assert filled([ml, firmware], ["ada", "grace"]) == (("ada",), ("grace",))
    assert filled([ml, firmware], ["grace"]) == (("grace",), ())


def test_two_of_any():
    """A group may have more slots than it asks for."""
    any_two = Group((frozenset({"a"}), frozenset({"a", "b"}), frozenset({"c"})), 2)
    assert [len(by) for by in filled([any_two], "abc")] == [2]
    assert filled([any_two], "a") == (("a",),)

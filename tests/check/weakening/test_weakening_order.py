"""Weakening is an order: nothing is weaker than itself, of two different thresholds one is, and steps add up."""

from __future__ import annotations

from itertools import pairwise, product

from hypothesis import example, given
from hypothesis import strategies as st

from guarded_fleet import fleet_of, found, guarded, owners, rules, tier
from muster.check.change import difference
from muster.check.paths import matches
from muster.check.weakening import weakenings
from muster.check.weakening.gates import looser_gate
from muster.check.weakening.guardrails import looser_guardrail
from muster.check.weakening.patterns import covers, may_overlap
from muster.kinds.policy import Gate, Guardrail
from muster.kinds.quantity import format_duration, measure_of

MICROSECONDS = st.integers(0, 10**9)
LIMITS = st.sampled_from(["<", "<=", ">", ">="])
COMPARATORS = st.sampled_from(["<", "<=", ">", ">=", "=="])
LOGINS = st.sampled_from(["ada", "bo", "cy", "di"])
SEGMENTS = st.sampled_from(["a", "b", "c.md", "*", "**", "a*", "*.md"])
PATTERNS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "c.md", "d.md"]), min_size=1, max_size=4).map("/".join)

GATES = st.builds(
    lambda **fields: Gate.model_validate({"name": "g", "metric": "p95-latency", **fields}),
    comparator=COMPARATORS,
    threshold=st.integers(0, 3).map(lambda amount: f"{amount}ms"),
    model=st.sampled_from([None, "m", "n"]),
    device_class=st.sampled_from([None, "c", "d"]),
    slice=st.sampled_from([None, "s"]),
    min_samples=st.sampled_from([None, 1, 10, 20]),
    bound=st.sampled_from([None, "lower", "upper"]),
    max_age=st.sampled_from([None, 1, 5, 9]),
    severity=st.sampled_from(["block", "warn"]),
)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "paths": st.lists(PATTERNS, min_size=1, max_size=2),
            "owners": st.lists(LOGINS, max_size=3),
            "roles": st.lists(st.sampled_from(["ml", "qa"]), max_size=2),
        }
    ),
    max_size=4,
)


def latency(comparator: str, microseconds: int) -> Gate:
    """A gate over a time."""
    return Gate.model_validate(
        {
            "name": "g",
            "metric": "p95-latency",
            "comparator": comparator,
            "threshold": format_duration(microseconds),
        }
    )


def weaker(old: Gate, new: Gate) -> bool:
    """True if anything of the gate is looser."""
    return bool(looser_gate(old, new, 7, 7))


@given(LIMITS, MICROSECONDS, MICROSECONDS)
def test_of_two_thresholds_one_is_weaker(comparator: str, one: int, other: int) -> None:
    """If they differ, exactly one way is a weakening; if not, none is."""
    left, right = latency(comparator, one), latency(comparator, other)
    assert (one != other) == (weaker(left, right) or weaker(right, left))
    assert not (weaker(left, right) and weaker(right, left))
    assert weaker(left, right) == (other > one if comparator[0] == "<" else other < one)


@given(COMPARATORS, COMPARATORS, st.integers(0, 4), st.integers(0, 4))
def test_not_weaker_means_that_nothing_new_passes(old: str, new: str, before: int, after: int) -> None:
    """Compared with the meaning of the comparators, on values at, between and beyond the thresholds."""
    passes = {
        "<": lambda value, limit: value < limit,
        "<=": lambda value, limit: value <= limit,
        ">": lambda value, limit: value > limit,
        ">=": lambda value, limit: value >= limit,
        "==": lambda value, limit: value == limit,
    }
    values = [half / 2 for half in range(-2, 12)]
    lets_in = any(passes[new](value, after) and not passes[old](value, before) for value in values)
    assert lets_in == weaker(latency(old, before), latency(new, after))


@given(LIMITS, MICROSECONDS)
def test_units_do_not_matter(comparator: str, amount: int) -> None:
    """The same time in microseconds and in its largest unit is the same threshold."""
    long, short = latency(comparator, amount), latency(comparator, amount)
    spelled = long.model_copy(update={"threshold": f"{amount}us"})
    assert measure_of(spelled.threshold) == measure_of(short.threshold)
    assert not weaker(spelled, short)
    assert not weaker(short, spelled)


EQUAL = latency("==", 1_000)


@given(st.lists(GATES, min_size=3, max_size=8))
@example(
    [latency("<=", 1_000).model_copy(update={"bound": "upper"}), EQUAL.model_copy(update={"bound": "upper"}), EQUAL]
)
def test_no_weaker_twice_is_no_weaker(gates: list[Gate]) -> None:
    """A weakening cannot be hidden in two steps, neither of which is one; and no gate is weaker than itself."""
    as_strict = {(old, new) for old, new in product(range(len(gates)), repeat=2) if not weaker(gates[old], gates[new])}
    assert {(number, number) for number in range(len(gates))} <= as_strict
    for first, second in as_strict:
        assert all((first, third) in as_strict for between, third in as_strict if between == second)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9))
def test_guardrails_weaken_one_way(limit: int, other: int, devices: int, others: int) -> None:
    """A guardrail weakens exactly if it would stop later in one respect."""

    def guardrail(ppm: int, least: int) -> Guardrail:
        return Guardrail(name="g", metric="failure-share", limit=ppm, min_devices=least)

    lost = looser_guardrail(guardrail(limit, devices), guardrail(other, others))
    assert len(lost) == (other > limit) + (others > devices)


@given(st.sets(st.integers(1, 99), max_size=6), st.sets(st.integers(1, 99), max_size=6))
def test_steps_weaken_if_some_soak_sees_more_devices(before: set[int], after: set[int]) -> None:
    """Not weaker exactly if after any number of soaks no more devices run the release than before."""
    old, new = sorted({*before, 100}), sorted({*after, 100})

    def edit(steps: list[int]):
        return lambda tree: tier(tree).update(steps=[f"{step}%" for step in steps])

    def reached(steps: list[int], soaks: int) -> int:
        return steps[min(soaks, len(steps) - 1)]

    more = any(reached(new, soaks) > reached(old, soaks) for soaks in range(8))
    assert more == ("steps" in rules(edit(new), edit(old)))


@given(PATTERNS, PATTERNS, PATHS)
def test_patterns_are_compared_as_they_match(wide: str, narrow: str, path: str) -> None:
    """A pattern that contains another matches whatever it matches; two that share a path may overlap."""
    if covers(wide, narrow) and matches(narrow, path):
        assert matches(wide, path)
    if matches(wide, path) and matches(narrow, path):
        assert may_overlap(wide, narrow)
        assert may_overlap(narrow, wide)


@given(RULES, RULES, st.lists(PATHS, min_size=1, max_size=12))
def test_no_path_asks_for_less_unless_it_is_said(before: list, after: list, paths: list[str]) -> None:
    """For every path, the rule that decides at the head asks for at least what the deciding rule of the base did."""

    def deciding(rows: list, path: str) -> dict | None:
        fitting = [row for row in rows if any(matches(pattern, path) for pattern in row["paths"])]
        return fitting[-1] if fitting else None

    def asks_less(old: dict | None, new: dict | None) -> bool:
        if old is None:
            return False
        new = new or {"owners": [], "roles": []}
        lost_owner = bool(old["owners"]) and not (new["owners"] and set(new["owners"]) <= set(old["owners"]))
        return lost_owner or any(new["roles"].count(role) < old["roles"].count(role) for role in old["roles"])

    said = rules(lambda tree: owners(tree).update(paths=after), lambda tree: owners(tree).update(paths=before))
    if any(asks_less(deciding(before, path), deciding(after, path)) for path in paths):
        assert said == ["owners"]


@given(RULES)
def test_owners_that_stay_are_no_weakening(same: list) -> None:
    """Whatever the rules are and however they overlap."""

    def edit(tree) -> None:
        owners(tree).update(paths=same)

    assert rules(lambda _: None, edit) == []


@given(st.sampled_from(sorted(guarded())), st.data())
def test_taking_a_file_away_and_putting_it_back_is_one_way_only(path: str, data: st.DataObject) -> None:
    """Of a rule that judges changes, the removal or the addition is a weakening, never both; of a rule kept, none."""
    full, less = guarded(), guarded()
    del less[path]
    there = list(weakenings(difference(fleet_of(full), fleet_of(less), ()), "cy"))
    back = list(weakenings(difference(fleet_of(less), fleet_of(full), ()), "cy"))
    assert not (there and back)
    both = data.draw(st.sampled_from([full, less]))
    assert not list(weakenings(difference(fleet_of(both), fleet_of(both), ()), None))


def test_a_long_way_down_in_small_steps_is_found_at_each() -> None:
    """Each small step is judged for itself: none is too small."""
    thresholds = ["0.9", "0.899999999", "0.899999998", "0.5"]
    for before, after in pairwise(thresholds):

        def edit(tree, value: str = after) -> None:
            tier(tree)["gates"][0]["threshold"] = value

        def start(tree, value: str = before) -> None:
            tier(tree)["gates"][0]["threshold"] = value

        assert rules(edit, start) == ["threshold"]


def test_more_rules_than_can_be_compared_count_as_weaker() -> None:
    """A hostile file with as many patterns as it may hold costs one finding, and no time; unchanged, it costs none."""

    def rows(count: int) -> list:
        return [{"paths": [f"*/a{number}*/**" for number in range(64)], "owners": ["ada"]} for _ in range(count)]

    def start(tree) -> None:
        owners(tree).update(paths=rows(100))

    (verdict,) = found(lambda tree: owners(tree).update(paths=rows(200)), start)
    assert "too many" in verdict.message
    assert found(lambda _: None, start) == []

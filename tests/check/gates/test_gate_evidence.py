"""What a gate believes: the right artifact, release, key, snapshot and age; and what is said of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from gate_situations import (
    FOLDER,
    NEW,
    NOW,
    OLD,
    case_of,
    measurement,
    policy_with,
    rebuild,
    share,
    slsa,
    statement,
    verdict_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fleets import pin
from muster.check.gates.decide import gate_verdicts
from muster.check.gates.table import GATE_KINDS
from muster.kinds.evidence import MEASUREMENT, PROVENANCE, REBUILD, REBUILD_TYPE, Evidence

GATE = {"metric": "accuracy", "comparator": ">=", "threshold": "0.9"}
GOOD = share("accuracy", 390, 400)
OTHER = OLD.spec.artifact.digest

UNBELIEVED: Mapping[str, tuple[Evidence, str, str]] = {
    "foreign key": (
        measurement(GOOD, signer=None, problem="key ab", problem_kind="foreign", subjects=()),
        "fail",
        "not signed by a key that the base trusts",
    ),
    "no signer": (measurement(GOOD, signer=None), "fail", "not signed by a key that the base trusts"),
    "replayed from another artifact": (
        measurement(GOOD, subjects=(OTHER,), problem="about another", problem_kind="other-artifact"),
        "fail",
        "about another artifact",
    ),
    "subject of another artifact, though nobody said so": (
        measurement(GOOD, subjects=(OTHER,)),
        "fail",
        "about another artifact",
    ),
    "another model's evidence": (
        measurement(GOOD, predicate={"release": "other/1.0.0"}),
        "fail",
        "speaks of 'other/1.0.0'",
    ),
    "hostile name of a release": (
        measurement(GOOD, predicate={"release": "x\x1b[31m\n::error::" + "y" * 500}),
        "fail",
        "speaks of 'x\\x1b[31m\\n::error::yyy",
    ),
    "stale": (measurement(GOOD, made_at=NOW - timedelta(days=30, seconds=1)), "fail", "stale"),
    "made in the future": (measurement(GOOD, made_at=NOW + timedelta(seconds=1)), "fail", "in the future"),
    "undated": (measurement(GOOD, made_at=None), "inconclusive", "does not say when"),
    "another evaluation snapshot": (
        measurement(GOOD, predicate={"snapshots": {"evaluation": pin("easy")}}),
        "fail",
        "another evaluation snapshot",
    ),
    "a file name that hides something": (
        measurement(GOOD, predicate={"results": 7}, path=f"{FOLDER}/a\x1b[2J\u202e.json"),
        "error",
        "a\\x1b[2J\\u202e.json: malformed",
    ),
    "unreadable": (
        measurement(GOOD, signer=None, problem="no JSON", problem_kind="broken", predicate={}),
        "error",
        "cannot be read ('no JSON')",
    ),
    "no object": (statement(MEASUREMENT, ["a list"]), "error", "no object"),
    "release that is no text": (measurement(GOOD, predicate={"release": 7}), "error", "does not name a release"),
    "malformed": (measurement(GOOD, predicate={"results": 7}), "error", "malformed predicate: results"),
    "unknown field with a hostile name": (
        measurement(GOOD, predicate={"\x1b[2J\n": 1}),
        "error",
        "malformed predicate: \\x1b[2J\\n",
    ),
    "number for a text": (measurement({**GOOD, "value": 0.99}), "error", "malformed predicate: results.0.value"),
    "counts that do not fit the value": (measurement({**GOOD, "successes": 1}), "error", "is not 1 of 400"),
    "more right than there are": (measurement({**GOOD, "successes": 401}), "error", "more successes than samples"),
    "more than all": (measurement({"metric": "accuracy", "value": "1.1"}), "error", "more than 1"),
    "bounds that exclude the value": (measurement({**GOOD, "lower": "0.99"}), "error", "lower bound"),
    "the same result twice": (measurement(GOOD, GOOD), "error", "twice"),
    "a slice alone": (measurement({**GOOD, "slice": "dim"}), "fail", "nobody measured accuracy of"),
}


@pytest.mark.parametrize("name", UNBELIEVED)
def test_what_is_not_believed_never_passes(name: str) -> None:
    """Each reason is told, with the command that makes better evidence; nothing hostile reaches the text as it is."""
    evidence, outcome, words = UNBELIEVED[name]
    verdict = verdict_of(GATE, [evidence])
    assert (outcome, True) == (verdict.outcome, words in verdict.message), verdict.message
    assert verdict.hint == f"muster measure {NEW.path} --key KEY"
    assert verdict.message.isprintable()


# Believed, and newer: what contradicts itself is not passed over for something older.
CONTRADICTIONS = {
    "counts that do not fit the value",
    "more right than there are",
    "more than all",
    "bounds that exclude the value",
    "the same result twice",
}


@pytest.mark.parametrize("name", UNBELIEVED)
def test_what_is_not_believed_does_not_stand_in_the_way_either(name: str) -> None:
    """A good statement answers, whatever lies beside it and claims to be newer."""
    good = measurement(GOOD, name="good", made_at=NOW - timedelta(days=2))
    expected = "error" if name in CONTRADICTIONS else "pass"
    assert expected == verdict_of(GATE, [UNBELIEVED[name][0], good]).outcome


def test_the_newest_measurement_answers() -> None:
    """A bad value is not outvoted by an older good one."""
    older = measurement(GOOD, name="older", made_at=NOW - timedelta(days=2))
    newer = measurement(share("accuracy", 100, 400), name="newer", made_at=NOW - timedelta(days=1))
    verdict = verdict_of(GATE, [newer, older])
    assert ("fail", f"{FOLDER}/newer.json") == (verdict.outcome, verdict.evidence)


def test_the_shorter_age_counts() -> None:
    """The gate's limit and the tier's both hold."""
    evidence = [measurement(GOOD, made_at=NOW - timedelta(days=2))]
    assert verdict_of(GATE, evidence).outcome == "pass"
    assert verdict_of({**GATE, "maxAge": "1d"}, evidence).outcome == "fail"
    assert (
        verdict_of({**GATE, "maxAge": "60d"}, [measurement(GOOD, made_at=NOW - timedelta(days=31))]).outcome == "fail"
    )
    assert verdict_of({**GATE, "maxAge": "999999999999999d"}, evidence).outcome == "pass"


REBUILT = {"metric": "reproducibility", "comparator": ">="}
CI = slsa(signer="ci")
TWO = [rebuild(), rebuild(cpu="arm", signer="b", name="b")]
LEVELS: Mapping[str, tuple[str, list[Evidence], str]] = {
    "pinned table is level 1": ("1", [rebuild()], "pass"),
    "pinned table is not level 2": ("2", [rebuild()], "fail"),
    "calibrated again is level 2": ("2", [rebuild(level="L2")], "pass"),
    "one signer on two CPUs is not level 3": ("3", [rebuild(), rebuild(cpu="arm", name="b")], "inconclusive"),
    "two signers on one CPU are not level 3": ("3", [rebuild(), rebuild(signer="b", name="b")], "inconclusive"),
    "two signers on two CPUs are level 3": ("3", [*TWO, CI], "pass"),
    "two models of one family are one": (
        "3",
        [rebuild(cpu="x86_64/GenuineIntel/6/85"), rebuild(cpu="x86_64/genuineintel/6/143", signer="b", name="b"), CI],
        "inconclusive",
    ),
    "two families of one vendor are two": (
        "3",
        [rebuild(cpu="x86_64/AuthenticAMD/23/49"), rebuild(cpu="x86_64/AuthenticAMD/25/1", signer="b", name="b"), CI],
        "pass",
    ),
    "nobody knows who built it": ("3", TWO, "inconclusive"),
    "who could not tell does not agree": (
        "3",
        [rebuild(), rebuild("UNKNOWN", cpu="arm", signer="b", name="b"), CI],
        "inconclusive",
    ),
    "made with another lock": ("1", [rebuild(lock=OTHER)], "fail"),
    "made with the release's lock": ("1", [rebuild(lock=NEW.spec.builder.digest)], "pass"),
    "made in the rebuilder's own environment": ("1", [rebuild(environment="own")], "fail"),
    "before environments were named": ("1", [rebuild(environment=None)], "pass"),
    "before environments were named is not level 3": (
        "3",
        [rebuild(environment=None), rebuild(cpu="arm", signer="b", name="b"), CI],
        "inconclusive",
    ),
    "a bad one in the rebuilder's own environment": ("1", [rebuild(), rebuild("BAD", environment="own")], "fail"),
    "the same rebuilder says something else later": (
        "1",
        [rebuild("BAD", made_at=NOW - timedelta(days=9)), rebuild(name="b")],
        "fail",
    ),
    "a bad one that says more than is known": ("1", [rebuild(), rebuild("BAD", name="b", extra=True)], "fail"),
    "who built it is no second": (
        "3",
        [rebuild(), rebuild(cpu="arm", signer="ci", name="b"), slsa(signer="ci")],
        "inconclusive",
    ),
    "who built it does not hide two others": (
        "3",
        [*TWO, rebuild(signer="ci", name="c"), CI],
        "pass",
    ),
    "who built it counts for the lower levels": ("2", [rebuild(level="L2", signer="ci"), slsa(signer="ci")], "pass"),
    "old provenance still tells who built it": (
        "3",
        [
            rebuild(),
            rebuild(cpu="arm", signer="ci", name="b"),
            slsa(signer="ci", made_at=NOW - timedelta(days=900)),
        ],
        "inconclusive",
    ),
    "a stranger's provenance excludes nobody": (
        "3",
        [
            *TWO,
            CI,
            slsa(signer=None, problem="key", problem_kind="foreign", name="d"),
        ],
        "pass",
    ),
    "an emulated CPU beside a real one is level 3": (
        "3",
        [rebuild(), rebuild(cpu="x86_64/emulated/Nehalem", emulated_on="x86/1/1", signer="b", name="b"), CI],
        "pass",
    ),
    "two emulated CPUs are not level 3": (
        "3",
        [
            rebuild(cpu="x86_64/emulated/Haswell", emulated_on="x86/1/1"),
            rebuild(cpu="x86_64/emulated/Nehalem", signer="b", name="b"),
            CI,
        ],
        "inconclusive",
    ),
    "nobody could tell": ("1", [rebuild("UNKNOWN")], "inconclusive"),
    "an old bad one still counts": (
        "1",
        [rebuild(), rebuild("BAD", name="b", made_at=NOW - timedelta(days=900))],
        "fail",
    ),
    "a bad one for another release of the same artifact": (
        "1",
        [rebuild(), rebuild("BAD", name="b", release="other/1.0.0")],
        "fail",
    ),
    "a bad one by a stranger": (
        "1",
        [rebuild(), rebuild("BAD", name="b", signer=None, problem="key", problem_kind="foreign")],
        "pass",
    ),
    "a bad one of another artifact": (
        "1",
        [rebuild(), rebuild("BAD", name="b", subjects=(OTHER,), problem="x", problem_kind="other-artifact")],
        "pass",
    ),
}


@pytest.mark.parametrize("name", LEVELS)
def test_levels_of_reproducibility(name: str) -> None:
    """Independent means another signer and another CPU; bad means bad."""
    threshold, evidence, outcome = LEVELS[name]
    assert outcome == verdict_of({**REBUILT, "threshold": threshold}, evidence).outcome


NAMED = {"rebuilders": ["bench", "b", "c"], "agreeing": 3}
THREE = [*TWO, rebuild(signer="c", name="c")]
N_OF_M: Mapping[str, tuple[dict[str, Any], list[Evidence], str]] = {
    "all of them": (NAMED, THREE, "pass"),
    "too few of them": (NAMED, TWO, "inconclusive"),
    "enough, and one of them is nobody that counts": (NAMED, [*TWO, rebuild(signer="d", name="d")], "inconclusive"),
    "one of them twice": (NAMED, [*TWO, rebuild(signer="b", name="d")], "inconclusive"),
    "one of them built it": (NAMED, [*THREE, slsa(signer="c", name="p")], "inconclusive"),
    "all of them on one family": (
        NAMED,
        [rebuild(signer=name, name=name) for name in NAMED["rebuilders"]],
        "inconclusive",
    ),
    "two of three": (NAMED | {"agreeing": 2}, TWO, "pass"),
    "two, if the number is not said": ({"rebuilders": ["bench", "b"]}, TWO, "pass"),
    "three of anybody": ({"agreeing": 3}, THREE, "pass"),
    "three of anybody, and two did": ({"agreeing": 3}, TWO, "inconclusive"),
    "one who is not asked says no": (NAMED, [*THREE, rebuild("BAD", signer="d", name="d")], "fail"),
    "a keyless one": (
        {"rebuilders": ["bench", "identities/b"]},
        [rebuild(), rebuild(cpu="arm", signer="identities/b", name="b")],
        "pass",
    ),
    "a key is not the identity of that name": ({"rebuilders": ["bench", "identities/b"]}, TWO, "inconclusive"),
}


@pytest.mark.parametrize("name", N_OF_M)
def test_so_many_of_those_who_are_named(name: str) -> None:
    """Level 3 is N of M: distinct, named, on two families of CPUs, none of them the builder; a no by anybody blocks."""
    fields, evidence, outcome = N_OF_M[name]
    verdict = verdict_of({**REBUILT, "threshold": "3", **fields}, [*evidence, CI])
    assert outcome == verdict.outcome, verdict.message
    if outcome == "inconclusive":
        assert "must agree, in environments of the lock and on 2 families of CPUs: so far " in verdict.message


def test_a_bad_rebuild_counts_though_the_change_removes_it() -> None:
    """Taking the file away does not take back what it said."""
    case = case_of(policy_with({**REBUILT, "threshold": "1"}), [rebuild()])
    (before,) = gate_verdicts(case)
    (after,) = gate_verdicts(replace(case, former_evidence=(rebuild("BAD"),)))
    assert (before.outcome, after.outcome) == ("pass", "fail")


def test_who_built_it_is_known_though_the_change_removes_the_provenance() -> None:
    """A pull request cannot make the builder independent, and the message names whom it left out."""
    two = [rebuild(), rebuild(cpu="arm", signer="ci", name="b")]
    case = case_of(policy_with({**REBUILT, "threshold": "3"}), two)
    (without,) = gate_verdicts(case)
    (verdict,) = gate_verdicts(replace(case, former_evidence=(CI,)))
    assert (without.outcome, verdict.outcome) == ("inconclusive", "inconclusive")
    assert "nobody signed its provenance" in without.message
    assert "'ci' does not count, who built it" in verdict.message


ORIGIN = {"metric": "provenance", "comparator": ">=", "threshold": "1"}
SOURCE = NEW.spec.source.digest


@pytest.mark.parametrize(
    "parameters", [{"release": "other/1.0.0"}, {"pins": pin("others")}, {"release": None}], ids=str
)
def test_provenance_of_another_build_fails(parameters: dict[str, Any]) -> None:
    """Where provenance names release or pins, they are this release's."""
    assert verdict_of(ORIGIN, [slsa(SOURCE, parameters=parameters)]).outcome == "fail"
    assert verdict_of(ORIGIN, [slsa(SOURCE, parameters={})]).outcome == "pass"


def test_a_rebuilders_provenance_is_no_builders() -> None:
    """It stands for no build, and who signed it stays an independent rebuilder; whatever is odd tells of a build."""
    again = slsa(SOURCE, signer="bench")
    again.predicate["buildDefinition"]["buildType"] = REBUILD_TYPE
    assert verdict_of(ORIGIN, [again]).outcome == "fail"
    assert verdict_of(ORIGIN, [again, slsa(SOURCE, signer="ci", name="b")]).outcome == "pass"
    rebuilds = [rebuild(), rebuild(cpu="arm", signer="other", name="b")]
    level_3 = {**REBUILT, "threshold": "3"}
    assert verdict_of(level_3, [*rebuilds, again, CI]).outcome == "pass"
    assert verdict_of(level_3, [*rebuilds, again]).outcome == "inconclusive"
    again.predicate["buildDefinition"]["buildType"] = [REBUILD_TYPE]
    assert verdict_of(level_3, [*rebuilds, again, CI]).outcome == "inconclusive"


def test_two_statements_by_one_key_are_one_signature() -> None:
    """Keys are counted, not files."""
    two = {"metric": "signature", "comparator": ">=", "threshold": "2"}
    evidence = [measurement(GOOD), rebuild(), slsa(SOURCE)]
    assert verdict_of(two, evidence).outcome == "fail"
    assert verdict_of(two, [*evidence, rebuild(signer="other", name="b")]).outcome == "pass"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
EXAMPLES = {
    MEASUREMENT: measurement(
        {**GOOD, "baselines": [{"of": "source", "digest": SOURCE, "value": "0.9", "both": 1}]}, GOOD | {"slice": "a"}
    ).predicate,
    REBUILD: rebuild().predicate,
    PROVENANCE: slsa(SOURCE).predicate,
}


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(spot for key, item in inner for spot in spots(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    if isinstance(value, dict):
        return {key: replaced(item, path[1:], by) if key == path[0] else item for key, item in value.items()}
    return [replaced(item, path[1:], by) if index == path[0] else item for index, item in enumerate(value)]


@given(data=st.data(), kind=st.sampled_from(sorted(EXAMPLES)), by=JSON | st.sampled_from(["0", "-1", "1" * 15, "0.5"]))
@settings(max_examples=300, deadline=None)
def test_no_predicate_of_a_trusted_key_raises(data: st.DataObject, kind: str, by: Any) -> None:
    """Whatever a signed predicate holds in whatever place, every gate answers with a verdict."""
    example = EXAMPLES[kind]
    spot = data.draw(st.sampled_from(spots(example)))
    metric = data.draw(st.sampled_from(sorted(GATE_KINDS)))
    row = GATE_KINDS[metric]
    gate = {key: value for key, value in row.example.items() if key not in ("name", "deviceClass")}
    relative = data.draw(st.sampled_from(row.relative_to))
    if relative != "absolute":
        gate |= {"relativeTo": relative, "threshold": "1"}
    verdict = verdict_of(gate, [statement(kind, replaced(example, spot, by))])
    assert verdict.message.isprintable()

"""How many devices decide, as the policies' comments and docs/guardrails.md say it, is what the statistics say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fleets import make_release
from muster.demo.scratch import CANARY_LIMIT
from muster.demo.stage import Plot
from muster.kinds.fleet import Fleet
from muster.kinds.ppm import PPM
from muster.kinds.quantity import parse_percent
from muster.plan.judge import terms_of
from muster.plan.statistics.counts import Arm, Step
from muster.plan.statistics.decide import decide
from muster.plan.statistics.explain import until_harm, until_no_worse
from muster.plan.statistics.family import Terms
from muster.plan.statistics.questions import ShareLimit, Shares
from muster.source.load import Loader
from muster.source.new_fleet import make_fleet

ROOT = Path(__file__).resolve().parents[2]
SAID = re.compile(r"harm after (\d+) failures in a row, no worse after (\d+) that hold")
OWN = tuple(f"cam-{name}" for name in ("day", "edge", "lowlight"))


def shared_by(fleet: Fleet, tier: str, classes: tuple[str, ...]) -> int:
    """How many questions share the declared error of a release of the tier on these classes."""
    release = make_release("1.0.0", {"fleet": "100%"}, classes=classes, tier=tier)
    return terms_of(fleet, release, next(one for one in fleet.policies[0].spec.tiers if one.name == tier)).tests


@pytest.mark.parametrize("whose", ["muster init", "this repository"])
def test_the_comments_say_how_many_devices_decide(tmp_path: Path, whose: str) -> None:
    """At the declared limit, least number of devices and error, for a release on every class that runs the model."""
    if whose == "muster init":
        make_fleet(tmp_path / "new", "meter-reader")
    folder, classes = (tmp_path / "new", ("example",)) if whose == "muster init" else (ROOT, OWN)
    fleet = Loader().work_tree(folder).fleet
    assert fleet
    said = SAID.findall((folder / "policies/default.yaml").read_text())
    expected = []
    for tier in fleet.policies[0].spec.tiers:
        (guardrail,) = tier.guardrails
        tests = shared_by(fleet, tier.name, classes)
        terms = Terms(tier.false_halts, tests, guardrail.min_devices)
        question = ShareLimit((guardrail.limit_ppm or 0) / PPM)
        decided = until_harm(question, Shares(), terms), until_no_worse(question, Shares(), terms)
        expected.append(tuple(map(str, decided)))
    assert expected == said


def test_so_many_devices_decide_and_one_less_does_not() -> None:
    """The table of docs/guardrails.md, whose first line says how many questions share the error."""
    page = (ROOT / "docs/guardrails.md").read_text().partition("<!-- deciding:begin -->\n")[2].partition("<!--")[0]
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines())
    shared = [int(found) for cell in head if (found := cell.removeprefix("harm, of ")) != cell]
    assert len(rows) >= 5
    for limit, *fails, holds in rows:
        question = ShareLimit(float(limit.rstrip("%")) / 100)
        for tests, needed in zip(shared, map(int, fails), strict=True):
            terms = Terms(tests=tests, min_devices=2)
            said = [decide(question, Shares((Step(Arm(n, n, n)),)), terms).outcome for n in (needed - 1, needed)]
            assert said == ["undecided", "harm"], (limit, tests)
        assert decide(question, Shares((Step(Arm(int(holds), int(holds))),)), Terms()).outcome == "no-worse"


def test_the_demos_canaries_can_show_harm() -> None:
    """More of them than it takes: one may be late."""
    fleet = Loader().work_tree(ROOT).fleet
    assert fleet
    terms = Terms(tests=shared_by(fleet, "production", OWN), min_devices=2)
    fails = until_harm(ShareLimit(parse_percent(CANARY_LIMIT) / PPM), Shares(), terms)
    assert fails is not None
    assert fails < Plot().canaries_per_class

"""A scenario of twenty thousand devices: the same code as with ten million."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from muster import cli
from muster.kinds.policy import Guardrail, Policy
from muster.kinds.scenario import Scenario
from muster.plan.buckets import bucket_of
from muster.plan.metric_source import Question, StepCounts, TallySource
from muster.plan.world import Observed
from muster.simulate.scenario.aggregates import CRASHES, LATENCY, Aggregates, Shown, Stratum, observed
from muster.simulate.scenario.contact import NEVER
from muster.simulate.scenario.declared import declare
from muster.simulate.scenario.field import Field
from muster.simulate.scenario.latency import STEP, everybody
from muster.simulate.scenario.muster_policy import MusterPolicy
from muster.simulate.scenario.page import BEGIN, END, between_markers
from muster.simulate.scenario.peers.kayenta import is_high
from muster.simulate.scenario.play import MUSTER, POLICIES, Played, play
from muster.simulate.scenario.population import Devices
from muster.simulate.scenario.traffic import online_by_tick
from muster.simulate.scenario.trials import Moment
from muster.source.validate import validate
from muster.source.yaml_events import parse

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
SHIPPED = sorted(path for path in SCENARIOS.glob("*.yaml") if path.stem != "policy")
COUNT = 20_000
BAD = [{}, {"deviceClasses": ["cam-lowlight"], "failures": "12%"}]


GUARDRAIL = {"name": "failing", "metric": "failure-share", "limit": "2%", "minDevices": 60}


def scenario(behaviours: list[dict[str, Any]], *, harmful: bool = True, **changes: Any) -> Scenario:
    spec: dict[str, Any] = {
        "devices": COUNT,
        "duration": "60h",
        "tick": "30m",
        "population": {"canary": "20%"},
        "releases": [
            {"version": "1.0.0"},
            {"version": "1.1.0", "at": "1h", "harmful": harmful, "behaviours": behaviours},
        ],
        **changes,
    }
    body = {"apiVersion": "muster/v1", "kind": "Scenario", "metadata": {"name": "small"}, "spec": spec}
    return Scenario.model_validate_json(json.dumps(body))


@pytest.fixture(scope="module")
def policy() -> Policy:
    """One guardrail that a small fleet can answer."""
    tier = {
        "name": "production",
        "steps": ["25%", "100%"],
        "soak": "8h",
        "longestWait": "12h",
        "health": {"window": "10m", "pollInterval": "5m"},
        "guardrails": [GUARDRAIL],
    }
    body = {"apiVersion": "muster/v1", "kind": "Policy", "metadata": {"name": "p"}, "spec": {"tiers": [tier]}}
    return Policy.model_validate_json(json.dumps(body))


def with_guardrail(policy: Policy, guardrail: dict[str, Any], **changes: Any) -> Policy:
    """The same tier with this guardrail alone."""
    update = {"guardrails": (Guardrail.model_validate_json(json.dumps(guardrail)),), **changes}
    spec = policy.spec.model_copy(update={"tiers": (policy.spec.tiers[0].model_copy(update=update),)})
    return policy.model_copy(update={"spec": spec})


@pytest.fixture(scope="module")
def devices() -> Devices:
    return Devices(scenario([{}]).spec.population, 1, COUNT)


def played(one: Scenario, policy: Policy, devices: Devices, *policies: str) -> Played:
    return play(one, policy, "production", policies or (MUSTER,), devices)


def walk(one: Scenario, policy: Policy, devices: Devices) -> MusterPolicy:
    declared = declare(one.spec, policy, "production")
    muster = MusterPolicy(declared, Field(one.spec, devices, 300, 600))
    for tick in range(muster.place.ticks):
        muster.play(tick)
    return muster


@pytest.fixture(scope="module")
def five(policy: Policy, devices: Devices) -> Played:
    return played(scenario(BAD), policy, devices, *POLICIES)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_scenario_is_valid(path: Path) -> None:
    """Named like its file, described, and the size that is promised."""
    found = validate(str(path), Scenario, parse(path.read_bytes()))
    assert isinstance(found, Scenario), found
    assert path.stem == found.metadata.name
    assert found.metadata.description
    assert found.spec.devices == 10_000_000


def test_a_bad_release_is_halted_inside_the_first_cohort(five: Played) -> None:
    """The revert follows within two ticks, everybody who can comes back, and fewer are harmed than by any other."""
    muster, *others = five.outcomes
    assert five.complaints == []
    assert muster.detection is not None
    assert muster.steps < five.first_cohort_steps
    assert muster.revert_ticks is not None
    assert muster.revert_ticks <= 2
    assert muster.back is not None
    assert all(0 < muster.harmed < other.harmed for other in others)


def test_the_policies_beside_it_do_what_their_sources_say(five: Played) -> None:
    """Errors over all members never reach 5 %; timed phases go on to the end; neither takes anything back."""
    _, fixed, timed, windows = five.outcomes
    assert fixed.detection is None
    assert timed.detection is None
    assert timed.steps == 3
    assert min(fixed.left_behind, timed.left_behind) > 1_000
    assert windows.policy.startswith("Mann-Whitney")


def test_a_healthy_release_reaches_everybody(policy: Policy, devices: Devices) -> None:
    """All steps, no halt, nobody harmed."""
    found = played(scenario([{}], harmful=False), policy, devices).outcomes[0]
    assert found.false_halts == 0
    assert found.steps == 3
    assert found.harmed == 0
    assert found.exposed > COUNT // 2


def test_the_same_seed_gives_the_same_figures(policy: Policy, devices: Devices, five: Played) -> None:
    """Also from devices that were made anew."""
    again = played(scenario(BAD), policy, Devices(devices.spec, 1, COUNT))
    assert five.outcomes[0] == again.outcomes[0]


def test_a_controller_that_dies_at_every_step_decides_the_same(policy: Policy, devices: Devices, five: Played) -> None:
    """What was kept is enough."""
    found = played(scenario(BAD, restarts=True), policy, devices).outcomes[0]
    assert five.outcomes[0] == replace(found, policy="Muster")


def test_silence_is_found_by_habit_and_an_outage_is_not_silence(policy: Policy, devices: Devices) -> None:
    """Bricked devices halt a release; ten hours without any report halt nothing."""
    bricked = played(scenario([{"bricked": "10%"}]), policy, devices).outcomes[0]
    assert bricked.detection is not None
    outage = [{"what": "telemetry", "at": "2h", "lasts": "10h"}]
    deaf = played(scenario([{}], harmful=False, troubles=outage), policy, devices).outcomes[0]
    assert deaf.false_halts == 0


def test_a_slower_release_is_halted_by_what_the_others_answer_meanwhile(policy: Policy, devices: Devices) -> None:
    """Against the concurrent control, before it is a fifth slower; one that is not slower goes on."""
    drift = scenario([{"slower": "25%", "within": "12h"}], duration="24h")
    guarded = with_guardrail(policy, {"name": "fast", "metric": "p95-latency", "margin": "5%"})
    found = played(drift, guarded, devices)
    assert found.complaints == []
    assert "fast" in "".join(found.lines["Muster"])
    assert found.outcomes[0].false_halts == 0


def test_one_slice_alone_halts_a_release(policy: Policy) -> None:
    """Its devices are a stratum of their own; all devices together fail in less than the limit."""
    cut = {"label": "lens", "value": "wide", "share": "5%"}
    population = {"canary": "20%", "slice": cut}
    worse = scenario([{"failures": "0%"}, {"sliced": True, "failures": "30%"}], duration="24h", population=population)
    sliced = Devices(worse.spec.population, 1, COUNT)
    guarded = with_guardrail(policy, {**GUARDRAIL, "minDevices": 5}, strata=("lens",))
    found = played(worse, guarded, sliced)
    assert found.complaints == []
    assert "label.lens=wide" in "".join(found.lines["Muster"])
    assert played(worse, policy, sliced).outcomes[0].detection is None


def test_during_a_telemetry_outage_the_planner_says_whose_reports_are_missing(policy: Policy, devices: Devices) -> None:
    """It cannot tell, and does not halt; afterwards it can."""
    outage = [{"what": "telemetry", "at": "2h", "lasts": "5h"}]
    one = scenario([{}], harmful=False, troubles=outage, duration="10h")
    muster = MusterPolicy(declare(one.spec, policy, "production"), Field(one.spec, devices, 300, 600))
    said = {}
    for tick in range(muster.place.ticks):
        muster.play(tick)
        plan = muster._plan(tick)
        said[tick] = {(wait.reason, wait.lifted_by) for wait in plan.waits if wait.step == "judge"}
    unheard = ("no report of any device comes in", "reports of the fleet's devices")
    assert not any(unheard[0] in reason for reason, _ in said[3])
    assert any(unheard[0] in reason and unheard[1] == lifted for reason, lifted in said[8])
    assert not any(unheard[0] in reason for reason, _ in said[18])
    assert muster.record.halted == {}


def test_nothing_advances_while_nobody_is_heard(policy: Policy, devices: Devices) -> None:
    """The next step waits for the end of the outage."""
    outage = [{"what": "telemetry", "at": "2h", "lasts": "20h"}]
    lines = walk(scenario([{}], harmful=False, troubles=outage), policy, devices).record.lines
    commits = [line for line in lines if "commit" in line]
    assert commits[0].startswith("1:00:00")
    assert commits[1].startswith("22:")


def test_a_corrupt_cdn_harms_nobody_and_is_halted(policy: Policy, devices: Devices) -> None:
    """Three downloads with other bytes, then the device gives up; nothing of it ever runs."""
    trouble = [{"what": "corrupt-cdn", "at": "0m", "lasts": "60h", "zones": ["asia"]}]
    one = scenario([{}], harmful=False, troubles=trouble)
    muster = walk(one, policy, devices)
    asia = devices.zone == 2
    for offered in muster.place.offered:
        batch = offered.batch
        assert (batch.moments[asia[batch.devices], Moment.TRIED] == NEVER).all()
        assert (batch.moments[~asia[batch.devices], Moment.GAVE_UP] == NEVER).all()
    found = played(one, policy, devices).outcomes[0]
    assert found.detection is not None
    assert found.harmed == 0


def test_a_wrong_clock_that_is_ahead_never_sees_an_offer(policy: Policy, devices: Devices) -> None:
    """TUF metadata is expired there; the device keeps what it runs."""
    muster = walk(scenario([{}], harmful=False), policy, devices)
    assert devices.ahead.any()
    for offered in muster.place.offered:
        ahead = devices.ahead[offered.batch.devices]
        assert (offered.batch.moments[ahead] == NEVER).all()


def test_sums_are_those_of_the_devices(policy: Policy, devices: Devices) -> None:
    """What the planner is told at a tick is what counting device by device gives, and nobody is counted twice."""
    muster = walk(scenario(BAD), policy, devices)
    place = muster.place
    for tick in (3, 5, 40):
        now = tick * place.tick
        told = observed(muster._told.aggregates(tick), 2).exposures
        for number, name in enumerate(devices.classes):
            exposure = told["simulated/1.1.0", name]
            tried = rolled = 0
            for offered in place.offered:
                m = offered.batch.moments[devices.cell[offered.batch.devices] // 2 == number]
                left = (m[:, Moment.LEFT_EARLY] <= now).sum()
                tried += int((m[:, Moment.TRIED] <= now).sum() + (m[:, Moment.GAVE_UP] <= now).sum() - left)
                rolled += int((m[:, Moment.ROLLED_BACK] <= now).sum())
            assert (tried, rolled) == (exposure.tried, exposure.failures)
            assert min(exposure.phases.values()) >= 0


def test_the_seam_counts_in_the_cells_of_a_real_controller() -> None:
    """One exposure a release and class; phases, codes, crashes and latencies by stratum, in cells that sources read."""
    wide = Shown({"healthy": 3, "failed": 2}, crashed=1, values={8_000: 2, 8_001: 1})
    shown = (
        (Stratum("m/1.0.0", "cam", "", 1), Shown({"healthy": 5, "rolled-back": 1}, recalled=2)),
        (Stratum("m/1.0.0", "cam", "label.lens=wide", 2), wide),
        (Stratum("m/1.0.0", "cam", "label.lens=wide", 2), Shown({"healthy": 4})),
    )
    seen = observed(Aggregates(shown), 3)
    exposure = seen.exposure("m/1.0.0", "cam")
    assert exposure.phases == {"healthy": 12, "rolled-back": 1, "failed": 2}
    assert (exposure.tried, exposure.failures, exposure.recalled) == (15, 3, 2)
    assert exposure.error_codes == {"inference_failed": 1, "bad_digest": 2}
    source = TallySource(seen.tally)
    assert source.strata("m/1.0.0", "cam") == ("", "label.lens=wide")
    crashes = source.counts(Question("m/1.0.0", (), "cam", "label.lens=wide", CRASHES, 1)).treated
    assert crashes.steps == (StepCounts(2, tried=9, concluded=9, events=1),)
    latency = source.counts(Question("m/1.0.0", (), "cam", "label.lens=wide", LATENCY, 3)).treated
    assert latency.histogram == {bucket_of(8_000): 3}
    assert source.counts(Question("m/1.0.0", (), "cam", "", "failure-share", 4)).treated.steps == ()
    assert observed(Aggregates(()), 1) == Observed()


def test_about_a_third_can_be_reached(devices: Devices) -> None:
    """At any time of the day; the count by windows is that of asking every device."""
    place = Field(scenario([{}]).spec, devices, 300, 600)
    found = online_by_tick(place)
    numbers = np.arange(COUNT)
    for tick in (0, 7, 50, 100):
        at = np.full(COUNT, tick * place.tick + place.tick // 2)
        assert place.contact.online(numbers, at).sum() == found[tick]
    assert 0.2 < found.min() / COUNT < 0.3 < found.max() / COUNT < 0.45


def test_latency_grows_as_declared(policy: Policy, devices: Devices) -> None:
    """A quarter more after two hours, in every device that confirmed the release; the others stay as they were."""
    muster = walk(scenario([{"slower": "25%", "within": "2h"}]), policy, devices)
    place, last = muster.place, muster.place.ticks - 1
    rates = place.trials.rates[1]
    plain = sum(place.latencies_of(one).now(place.trials.rates[0], last) for one in place.offered)
    slow = sum(place.latencies_of(one).now(rates, last) for one in place.offered)
    shift = round(np.log(1.25) / np.log(STEP))
    assert plain.sum() == slow.sum() > 0
    assert (plain[:, 200:400] == slow[:, 200 + shift : 400 + shift]).mean() > 0.9
    assert (place.latencies(last) + plain == everybody(devices)).all()


def test_mann_whitney_on_series() -> None:
    """High only if it is plainly higher; equal, empty and noisy series are not."""
    noise = np.random.default_rng(5)
    base = noise.normal(10, 1, 40)
    assert is_high(base + 5, base)
    assert not is_high(base, base)
    assert not is_high(base - 5, base)
    assert not is_high(np.full(5, np.nan), base)
    assert not is_high(noise.normal(10, 1, 40), base)
    assert not is_high(base + 0.5, base)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"population": {"canary": "5%", "zones": [{"name": "x", "share": "50%", "hours": 0}]}}, "add up"),
        ({"tick": "1s"}, "a minute or more"),
        ({"releases": [{"version": "1.1.0"}, {"version": "1.0.0"}]}, "oldest version"),
        ({"troubles": [{"what": "server", "at": "1h", "lasts": "1h", "zones": ["asia"]}]}, "keeps to zones"),
        ({"troubles": [{"what": "corrupt-cdn", "at": "1h", "lasts": "1h", "zones": ["mars"]}]}, "no mars"),
    ],
)
def test_what_cannot_be_played_is_refused(changes: dict[str, Any], complaint: str) -> None:
    """With the reason."""
    with pytest.raises(ValueError, match=complaint):
        scenario([{}], **changes)


def test_the_verb_plays_and_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 where Muster does not hold: so few devices never satisfy the shipped policy."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- simulated: begin -->\nstale\n<!-- simulated: end -->\nafter\n")
    file = tmp_path / "short.yaml"
    file.write_text(
        (SCENARIOS / "five-percent-in-one-class.yaml").read_text().replace("spec:", "spec:\n  duration: 12h")
    )
    arguments = ["simulate", str(file), "--policy", str(SCENARIOS / "policy.yaml"), "--devices", "1000", "--alone"]
    arguments += ["--page", str(page), "-o", "json"]
    assert cli.exit_code_of(arguments) == 1
    said = json.loads(capsys.readouterr().out)[0]
    assert said["complaints"] == ["not halted"]
    assert said["outcomes"][0]["exposed"] > 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "stale" not in text
    assert "Muster does not hold here: not halted" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot read"), ("a: [", "error:"), ("kind: Scenario\nspec: {devices: 3}\n", "missing")],
)
def test_a_bad_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str) -> None:
    """Exit 2, one line and a hint."""
    path = tmp_path / "s.yaml"
    if content is not None:
        path.write_text(content)
    assert cli.exit_code_of(["simulate", str(path)]) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert "Traceback" not in complaint


def test_a_page_without_markers_is_refused() -> None:
    """Nothing is written where nobody asked for it."""
    with pytest.raises(ValueError, match="simulated: begin"):
        between_markers("text", {"one": "tables"})


def test_a_scenario_that_is_played_again_replaces_its_own_table_alone() -> None:
    """The others stay in their places, and new ones come after them."""
    page = f"{BEGIN}\nstale words\n\n### one\n\nold\n\n### two\n\nkept\n\n{END}"
    found = between_markers(page, {"one": "### one\n\nnew", "three": "### three\n\nfirst"})
    assert found == f"{BEGIN}\n\n### one\n\nnew\n\n### two\n\nkept\n\n### three\n\nfirst\n\n{END}"
    assert between_markers(found, {}) == found

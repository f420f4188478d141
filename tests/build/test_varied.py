"""`muster build --vary`: the artifact does not depend on the circumstances, and what does is caught and explained."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from meter_example import LOCK, ROOT, changed, filled_store, release
from muster.artifacts.store import Store
from muster.attest.evidence import read_evidence
from muster.attest.keys import public_half
from muster.build.emulation import emulator
from muster.build.environment import environment_differs
from muster.build.hermetic.process import run_process
from muster.build.hermetic.run import HermeticRun, own_run
from muster.build.pipeline import BuildInputs, StagesRun
from muster.build.rebuild import Outcome, judge_varied, vary
from muster.build.varied import CPUS, VariedBuild, build_varied, variations
from muster.cli import exit_code_of
from muster.cli.build_vary import show_varied
from muster.kinds.errors import MusterError, Unusable
from muster.kinds.evidence import Rebuild
from muster.kinds.signing_key import SigningKey

pytestmark = pytest.mark.skipif(bool(environment_differs(LOCK)), reason="builds in this environment need its lock")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled_store(tmp_path_factory.mktemp("state") / "store")


@pytest.fixture
def run() -> HermeticRun:
    return own_run(release().spec.builder, LOCK)


@pytest.fixture
def without_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which qemu is not installed: emulated builds take their time, and one of them is proof enough."""
    (tmp_path / "no programs").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))


@pytest.mark.usefixtures("without_programs")
def test_a_rebuild_is_varied_and_says_so(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a release that comes out as pinned, the signed verdict lists every variation: the same, or why it was not."""
    fleet, state = tmp_path / "fleet", store.folder.parent
    for name in ("releases", "builders"):
        shutil.copytree(ROOT / name, fleet / name)
    monkeypatch.chdir(fleet)
    assert exit_code_of(["keys", "new", "lab", "--use", "evidence", "--state", str(tmp_path)]) == 0
    arguments = ["--environment", "own", "--state", str(state), "--key", str(tmp_path / "keys/named/lab.pem")]
    assert exit_code_of(["evidence", "rebuild", "meter-reader/1.1.0", "--name", "rebuild", *arguments]) == 0
    path = next((fleet / "evidence").rglob("rebuild.json"))
    pem = public_half((tmp_path / "keys/named/lab.pem").read_bytes())
    lab = SigningKey.model_validate({"metadata": {"name": "lab"}, "spec": {"publicKey": pem, "uses": ["evidence"]}})
    found = read_evidence(path.relative_to(fleet).as_posix(), path.read_bytes(), [lab])
    assert found.problem is None
    rebuilt = Rebuild.model_validate(found.predicate)
    assert (rebuilt.verdict, rebuilt.level) == ("GOOD", "L2")
    assert [one.name for one in rebuilt.varied] == [one.name for one in variations()]
    outcomes = {one.name: one for one in rebuilt.varied}
    assert [outcomes[name].outcome for name in list(outcomes)[:3]] == ["same"] * 3
    assert all(one.outcome == "same" or (one.outcome == "skipped" and one.reason) for one in rebuilt.varied)
    assert [outcomes[f"emulated {cpu}"].outcome for cpu in CPUS] == ["skipped"] * len(CPUS)


def test_where_there_is_qemu_another_cpu_is_among_them() -> None:
    """What `muster rebuild --cpu` runs is what a variation runs: tests/cli/test_rebuild_verb.py builds there."""
    emulated = {one.name: one for one in variations()}[f"emulated {CPUS[0]}"]
    if emulated.missing is not None:
        pytest.skip(emulated.missing)
    assert emulated.circumstances.emulator == emulator(CPUS[0])


@pytest.mark.parametrize(
    ("found", "level", "verdict", "reason"),
    [
        ([], "L2", "GOOD", None),
        ([VariedBuild("b", "skipped", 0.0, "not here")], "L2", "GOOD", None),
        ([VariedBuild("b", "failed", 1.0, "too slow")], "L1", "UNKNOWN", "b: too slow"),
        ([VariedBuild("b", "different", 1.0, "x", first_difference="calibration_table")], "L2", "BAD", "b: x"),
        ([VariedBuild("b", "different", 1.0, "x", first_difference="quantized")], "L1", "BAD", "b: x"),
        ([VariedBuild("b", "different", 1.0, "refused here")], "L1", "BAD", "b: refused here"),
        (
            [VariedBuild("b", "failed", 1.0, "slow"), VariedBuild("c", "different", 1.0, "x", first_difference="y")],
            "L1",
            "BAD",
            "c: x",
        ),
    ],
)
def test_what_varied_builds_make_of_a_verdict(
    found: list[VariedBuild], level: str, verdict: str, reason: str | None
) -> None:
    """Bytes that depend on the circumstances are BAD, whatever else failed; what failed alone tells nobody anything."""
    good = Rebuild(
        release="a/1", rebuilt_at="2026-03-01T10:00:00Z", level="L2", verdict="GOOD", cpu="x", from_table="pinned"
    )
    judged = judge_varied(Outcome(good, None), [VariedBuild("plain", "same", 1.0), *found])
    assert (judged.rebuild.level, judged.rebuild.verdict, judged.reason) == (level, verdict, reason)
    assert [one.outcome for one in judged.rebuild.varied] == ["same", *(one.outcome for one in found)]
    assert Rebuild.model_validate_json(judged.rebuild.model_dump_json()) == judged.rebuild


def test_only_what_is_good_is_varied(tmp_path: Path, run: HermeticRun) -> None:
    """What is BAD already is not built again; of what cannot be varied nobody can tell."""
    bad = Rebuild(
        release="a/1", rebuilt_at="2026-03-01T10:00:00Z", level="L1", verdict="BAD", cpu="x", from_table="pinned"
    )
    assert vary(Outcome(bad, "other bytes"), release(), Store(tmp_path), run) == Outcome(bad, "other bytes")
    good = Outcome(bad.model_copy(update={"level": "L2", "verdict": "GOOD"}), None)
    told = vary(good, release(), Store(tmp_path), run)
    assert told.rebuild.verdict == "UNKNOWN"
    assert "is not in the store" in told.reason


def test_the_verb_shows_what_came_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In every format, with the exit code; what a build said reaches neither the terminal nor Markdown as it is."""
    monkeypatch.chdir(ROOT)
    arguments = ["build", "meter-reader/1.1.0", "--vary", "--environment", "own", "--state", str(tmp_path)]
    assert exit_code_of(arguments) == 2
    assert "is not in the store" in capsys.readouterr().err
    found = [VariedBuild("plain", "same", 1.0, artifact="sha256:1")]
    assert show_varied(release(), found, "text") == 0
    found.append(VariedBuild("b", "failed", 1.0, "\x1b[2J @all | `x`"))
    assert show_varied(release(), found, "markdown") == 2
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert " @all " not in shown.replace("`", " ` ").split("`")[0]
    assert shown.splitlines()[-1].count("|") == 4
    found.append(VariedBuild("c", "different", 1.0, "x"))
    assert show_varied(release(), found, "json") == 1
    assert json.loads(capsys.readouterr().out)["same"] is False


def test_what_is_missing_has_its_reason() -> None:
    """No variation is left out without a word."""
    assert len({variation.name for variation in variations()}) == len(variations()) > 5
    assert all(variation.missing is None or len(variation.missing) > 10 for variation in variations())


NATIVE = variations()[:4]


class _Careless(HermeticRun):
    """Stages that take the time zone into what they calibrate, as code that looked at its surroundings would."""

    def __call__(self, inputs: BuildInputs, store: Store, **options: object) -> StagesRun:
        zone = self.circumstances.variables.get("TZ")
        if zone is None or self.circumstances.emulator or self.circumstances.inside:
            return super().__call__(inputs, store, **options)
        if zone == "America/St_Johns":
            raise Unusable("the stages ended badly", "look")
        coarser = {"snap": inputs.recipe.snap.model_copy(update={"mantissa_bits": 6})}
        other = replace(inputs, recipe=inputs.recipe.model_copy(update=coarser))
        return super().__call__(other, store, **options)


def test_a_build_that_depends_on_its_surroundings_is_caught(store: Store, run: HermeticRun) -> None:
    """The variation is named, the first output that differs, and how; one that fails is neither same nor different."""
    told = []
    careless = _Careless(run.environment, run.circumstances)
    declared = release()
    found = {one.variation: one for one in build_varied(declared, store, careless, NATIVE, told.append)}
    assert [one.variation for one in told] == list(found)
    caught = found["hash seed, locale and zone"]
    assert (caught.outcome, caught.first_difference) == ("different", "calibration_table")
    assert caught.difference is not None
    assert caught.difference["firstStageThatDiverged"] == "calibration_table"
    assert caught.difference["initializers"]["roles"]["scale"] > 0
    kernels = found["other kernels of numpy"]
    assert kernels.outcome in ("failed", "skipped")
    assert found["plain"].outcome == "same"


def test_pins_that_nobody_comes_to_differ_everywhere(store: Store, run: HermeticRun) -> None:
    """A build that is not as the release pins it is different, without a difference from the first."""
    wrong = changed(release(), calibration_table="sha256:" + "0" * 64)
    found = [one for one in build_varied(wrong, store, run, NATIVE[:1]) if one.outcome != "skipped"]
    assert {(one.outcome, one.first_difference, one.difference) for one in found} == {
        ("different", "calibration_table", None)
    }


def test_without_inputs_nothing_is_said(tmp_path: Path, run: HermeticRun) -> None:
    """An empty store is an error, not a difference."""
    with pytest.raises(MusterError, match="is not in the store"):
        build_varied(release(), Store(tmp_path), run, NATIVE)


def test_the_process_takes_itself_for_the_user_that_it_was_given(tmp_path: Path) -> None:
    """And works in the folder of the given name."""
    variation = next(one for one in variations() if one.name == "another user")
    if variation.missing is not None:
        pytest.skip(variation.missing)
    folder = tmp_path / "inside it"
    folder.mkdir()
    command = ["/bin/sh", "-c", "id -u > user; umask > umask"]
    run_process(command, folder=folder, readable=[], circumstances=variation.circumstances)
    assert (folder / "user").read_text().split() == [str(variation.circumstances.user)]
    assert int((folder / "umask").read_text(), 8) == 0o077

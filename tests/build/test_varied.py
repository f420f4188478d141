"""`muster build --vary`: the artifact does not depend on the circumstances, and what does is caught and explained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from meter_example import LOCK, ROOT, changed, filled_store, release
from muster.artifacts.store import Store
from muster.build.environment import environment_differs
from muster.build.hermetic.process import run_process
from muster.build.hermetic.run import HermeticRun, own_run
from muster.build.pipeline import BuildInputs, StagesRun
from muster.build.varied import CPUS, build_varied, variations
from muster.cli.build import build
from muster.kinds.errors import MusterError, Unusable

pytestmark = pytest.mark.skipif(bool(environment_differs(LOCK)), reason="builds in this environment need its lock")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled_store(tmp_path_factory.mktemp("state") / "store")


@pytest.fixture
def run() -> HermeticRun:
    return own_run(release().spec.builder, LOCK)


def test_the_verb_builds_in_every_circumstance_and_finds_the_pinned_bytes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variation that this machine has comes to the pinned artifact; each that it has not says why."""
    monkeypatch.chdir(ROOT)
    arguments = ["meter-reader/1.1.0", "--vary", "--environment", "own", "-o", "json"]
    done = CliRunner().invoke(build, [*arguments, "--state", str(store.folder.parent)], standalone_mode=False)
    report = json.loads(done.stdout)
    assert (done.return_value, report["same"]) == (0, True), report
    outcomes = {one["variation"]: one for one in report["variations"]}
    assert {"plain", "another user", *(f"emulated {cpu}" for cpu in CPUS)} < set(outcomes)
    for one in outcomes.values():
        built = one["outcome"] == "same" and one["artifact"] == release().spec.artifact.digest
        assert built or (one["outcome"] == "skipped" and one["reason"])
    assert [outcomes[name]["outcome"] for name in list(outcomes)[:3]] == ["same"] * 3


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
    """Builds that agree with each other and not with the release are different, without a difference among them."""
    wrong = changed(release(), calibration_table="sha256:" + "0" * 64)
    found = [one for one in build_varied(wrong, store, run, NATIVE[:2]) if one.outcome != "skipped"]
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

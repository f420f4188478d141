"""Golden diagnostic bundles: releases of the model `diagnostics`, for chosen cohorts, through the ordinary rollout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from agent_simulator import BRIGHT, MODEL_NAME, WINDOW_SECONDS, Bench, Built, answers, build

from muster.agent.agent import DIAGNOSTICS
from muster.agent.identity import read_identity, write_identity
from muster.artifacts.bundle import MANIFEST
from muster.artifacts.golden import dump_expected
from muster.artifacts.manifest import read_manifest
from muster.kinds.canonical import canonical_json
from muster.kinds.cohort import Selector
from muster.kinds.desired import OrderedCohort, artifact_target, signature_target


def _bundle(expected: bytes | None = None) -> Built:
    built = build("1.0.0", sharpness=5.0, expected=expected)
    manifest = read_manifest(built.files[MANIFEST]).model_copy(update={"model": DIAGNOSTICS})
    return replace(built, files={**built.files, MANIFEST: manifest.dump()})


def _ship(bench: Bench, running: Built, bundle: Built, generation: int, site: str) -> None:
    """To all devices of one site; the model of the application stays as it is."""
    repository = bench.repository
    document = repository.publish(generation, [running.entry(1)], artifacts=(running, bundle))
    cohort = OrderedCohort(name="chosen", selector=Selector(match_labels={"site": site}))
    entry = bundle.entry(generation).model_copy(
        update={"release": f"{DIAGNOSTICS}/1.0.0", "ppm": {"chosen": 1_000_000}}
    )
    shipped = document.model_copy(update={"model": DIAGNOSTICS, "cohorts": (cohort,), "entries": (entry,)})
    repository.put(shipped.target, canonical_json(shipped.model_dump(mode="json")))
    repository.sign()
    assert {artifact_target(bundle.artifact), signature_target(bundle.artifact)} <= set(repository.targets)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A device of the site `north`, with a camera, that takes diagnostics beside its application's model."""
    bench = Bench(tmp_path, frames=BRIGHT, frames_per_tick=25)
    identity = read_identity(bench.folder)
    write_identity(bench.folder, identity.model_copy(update={"models": (MODEL_NAME, DIAGNOSTICS)}))
    bench.start()
    return bench


def _story(bench: Bench) -> list[tuple[str | None, str | None]]:
    told = [(one.phase, one.error_code) for one in bench.server.reports if one.release == f"{DIAGNOSTICS}/1.0.0"]
    return [event for place, event in enumerate(told) if place == 0 or told[place - 1] != event]


def test_a_device_that_was_chosen_runs_the_golden_inputs_and_reports_how_it_went(bench: Bench) -> None:
    """On no frame of its camera: only golden answers count. Confirmed means: it answers here as where it was built."""
    running, bundle = build("1.0.0"), _bundle()
    _ship(bench, running, bundle, 1, "north")
    for seconds in (1, WINDOW_SECONDS, 1):
        assert bench.tick(seconds).problem is None
    phases = ["offered", "downloaded", "verified", "loaded", "activated", "confirmed", "healthy"]
    assert [(phase, None) for phase in phases] == _story(bench)
    last = [one for one in bench.server.reports if one.model == DIAGNOSTICS][-1]
    assert (last.inferences > 0, last.confidence_histogram, last.p50_ms is not None) == (True, None, True)


def test_a_device_that_answers_otherwise_says_so_and_its_application_goes_on(bench: Bench) -> None:
    """`golden_mismatch` for this release of diagnostics; the model that people use is not touched by it."""
    frames = np.arange(32, dtype=np.uint8).reshape(8, 4) % 17
    running, bundle = build("1.0.0"), _bundle(expected=dump_expected(answers(frames, 6.0)))
    _ship(bench, running, bundle, 1, "north")
    for seconds in (1, WINDOW_SECONDS, 1):
        bench.tick(seconds)
    assert ("failed", "golden_mismatch") in _story(bench)
    assert "healthy" not in [phase for phase, _ in _story(bench)]
    assert bench.state.confirmed is not None
    assert running.release == bench.state.confirmed.entry.release


def test_a_device_that_was_not_chosen_has_no_problem(bench: Bench) -> None:
    """Neither while another cohort is looked at, nor while nothing is shipped at all."""
    running = build("1.0.0")
    bench.repository.publish(1, [running.entry(1)], artifacts=(running,))
    assert bench.tick().problem is None
    _ship(bench, running, _bundle(), 2, "south")
    assert bench.tick().problem is None
    assert bench.agent.device.model_state(DIAGNOSTICS).running is None
    assert _story(bench) == []

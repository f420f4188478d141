"""The library for the application: the active model of a name, switched between two calls."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from agent_simulator import BRIGHT, GREY, MODEL_NAME, WINDOW_SECONDS, Bench, Built, answers, build, hash_of
from simulated_runtime import SimulatedRuntime, simulated

from muster.agent.active import ActiveModel, Prediction, open_model
from muster.agent.runtime import OnnxRuntime
from muster.agent.setbacks import StepFailed
from muster.artifacts.bundle import CONFIG
from muster.kinds.digest import digest_of
from muster.kinds.errors import Refused, TryAgain

SOON = 0.002
PATIENCE = 20.0


def _open(bench: Bench) -> ActiveModel:
    return open_model(bench.folder.path, MODEL_NAME, bench.runtime, look=SOON)


def _until(condition: Callable[[], bool], what: str) -> None:
    """Wait for another thread, which no clock of ours can move on."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        pause.wait(0.002)


def _runs(model: ActiveModel, built: Built) -> bool:
    return model.infer(BRIGHT[0]).model_hash == hash_of(built)


def _tells(bench: Bench, condition: Callable[[], bool], what: str) -> None:
    """Until what the application tells arrived in a report."""

    def told() -> bool:
        bench.tick(0.1)
        return condition()

    _until(told, what)


def _offer(bench: Bench, generation: int, built: Built) -> None:
    bench.repository.publish(generation, [built.entry(generation)], artifacts=(built,))
    bench.tick()


def _confirm(bench: Bench, generation: int, built: Built) -> None:
    """While an application answers: the agent waits for what it tells."""
    _offer(bench, generation, built)

    def confirmed() -> bool:
        bench.tick(WINDOW_SECONDS)
        return bench.state.trial is None

    _until(confirmed, f"{built.release} is confirmed")
    assert bench.state.confirmed is not None
    assert built.release == bench.state.confirmed.entry.release


def test_what_is_pinned_before_and_after_the_model_is_what_an_answer_went_through(bench: Bench) -> None:
    """Raw frame in; label, confidence, threshold, release, generation and digests of the bytes that were loaded out."""
    built = build("1.0.0")
    bench.start()
    bench.confirm(built)
    with _open(bench) as model:
        found = model.infer(BRIGHT[0])
        grey = model.infer(GREY[0])
    score = float(answers(BRIGHT, 8.0)[0, 1])
    assert found == Prediction(
        label="bright",
        confidence=pytest.approx(score, abs=1e-6),
        confident=True,
        release=built.release,
        generation=1,
        model_hash=hash_of(built),
        config_version=digest_of(built.files[CONFIG]),
    )
    assert not grey.confident


@dataclass
class Asked:
    """What threads were answered while they asked without a pause."""

    found: list[Prediction] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, model: ActiveModel) -> None:
        mine = []
        try:
            while not self.stop.is_set():
                mine.append(model.infer(BRIGHT[0]))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test must see it
            self.failed.append(error)
        self.found += mine


@contextmanager
def _asking(model: ActiveModel, threads: int):
    """Threads take turns far more often than they would, so that a switch meets them everywhere."""
    asked, interval = Asked(), sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    running = [threading.Thread(target=asked.ask, args=(model,)) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield asked
    finally:
        asked.stop.set()
        for thread in running:
            thread.join()
        sys.setswitchinterval(interval)


def test_releases_change_between_two_calls_with_none_lost_and_none_mixed(bench: Bench) -> None:
    """Three threads infer while five releases come and one goes back: no call fails, and each answer's confidence is
    that of the one release that it names.
    """
    bench.runtime = SimulatedRuntime()
    releases = [simulated(f"1.{number}.0", 3.0 + number) for number in range(5)]
    expected = {hash_of(built): float(np.float32(answers(BRIGHT, 3.0 + n)[0, 1])) for n, built in enumerate(releases)}
    bench.start()
    bench.confirm(releases[0])
    with _open(bench) as model, _asking(model, 3) as asked:
        for generation, built in enumerate(releases[1:], 2):
            _confirm(bench, generation, built)
            assert _runs(model, built)
        bench.repository.publish(9, [releases[3].entry(9)])
        bench.tick()
        _until(lambda: _runs(model, releases[3]), "the release before")
    assert asked.failed == []
    assert {hash_of(built) for built in releases} == {one.model_hash for one in asked.found}
    for one in asked.found:
        assert (one.label, one.confidence) == ("bright", expected[one.model_hash])
    named = {built.release: hash_of(built) for built in releases}
    assert all(named[one.release] == one.model_hash for one in asked.found)


def test_a_load_beside_it_holds_up_no_answer(bench: Bench) -> None:
    """While another release takes its time to load, the one that runs goes on answering."""
    first, second = simulated("1.0.0", 4.0), simulated("1.1.0", 5.0)
    bench.runtime = SimulatedRuntime()
    bench.start()
    bench.confirm(first)
    loading, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        loading.set()
        assert go_on.wait(PATIENCE)

    application = SimulatedRuntime()
    with open_model(bench.folder.path, MODEL_NAME, application, look=SOON) as model:
        application.before_load = slow
        _offer(bench, 2, second)
        _until(lambda: _runs(model, first) and loading.is_set(), "the load begins")
        assert all(_runs(model, first) for _ in range(50))
        go_on.set()
        _until(lambda: _runs(model, second), "the other release answers")


@pytest.mark.parametrize("way", ["down", "stalled"])
def test_the_network_is_not_waited_for(bench: Bench, way: str) -> None:
    """With a server that is down, or that keeps the agent waiting within its round, answers go on as they were."""
    built = build("1.0.0")
    bench.start()
    bench.confirm(built)
    stalled, go_on = threading.Event(), threading.Event()
    get = bench.server.get

    def stalling(path: str, headers: object):
        stalled.set()
        go_on.wait(PATIENCE)
        return get(path, headers)

    with _open(bench) as model:
        if way == "down":
            bench.server.away = True
            assert bench.tick().away
            assert all(_runs(model, built) for _ in range(50))
            return
        bench.server.get = stalling
        round_ = threading.Thread(target=bench.tick)
        round_.start()
        try:
            assert stalled.wait(PATIENCE)
            assert all(_runs(model, built) for _ in range(50))
            assert round_.is_alive()
        finally:
            go_on.set()
            round_.join()


def test_the_library_loads_nothing_that_could_reach_the_network() -> None:
    """No client of any protocol, no TUF; and the runtime's telemetry is off before the runtime is loaded."""
    code = """
import os, sys
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
import muster.agent.active
print(os.environ["ORT_DISABLE_TELEMETRY"], "onnxruntime" in sys.modules)
print([name for name in ("urllib3", "requests", "tuf", "http.client", "ssl", "muster.agent.http_server")
       if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["1 False", "[]"], done.stderr


def test_the_report_is_of_the_session_that_answers(bench: Bench) -> None:
    """Digest, provider, load time, latencies, frames: the application's, not those of the agent's own session."""
    built = build("1.0.0")
    bench.start()
    bench.confirm(built)
    with _open(bench) as model:
        for _ in range(30):
            model.infer(BRIGHT[0])
        model.drop(3)
        _tells(bench, lambda: bench.server.reports[-1].inferences == 30, "all of them")
        report = bench.server.reports[-1]
        figures = model.figures()
        assert figures is not None
        assert (report.model_hash, report.config_version) == (hash_of(built), digest_of(built.files[CONFIG]))
        assert (report.inferences, report.dropped_frames, report.phase) == (30, 3, "healthy")
        assert (report.p50_ms, report.p95_ms) == (round(figures.p50_ms, 4), round(figures.p95_ms, 4))
        assert report.delegate_active == "CPUExecutionProvider"
        assert report.runtime_version == OnnxRuntime().version
        assert report.peak_ram_mb > 1
        assert report.load_time_ms > 0
        assert (report.confident_ppm, report.confidence_histogram) == (1_000_000, (0,) * 9 + (30,))
    bench.tick()
    assert bench.server.reports[-1].inferences != 30


def test_until_the_application_follows_the_old_digest_is_reported(bench: Bench) -> None:
    """What the agent switched in, and the application does not run yet, is not claimed to run, and not confirmed."""
    first, second = simulated("1.0.0", 4.0), simulated("1.1.0", 5.0)
    bench.runtime = SimulatedRuntime()
    bench.start()
    bench.confirm(first)
    go_on = threading.Event()
    application = SimulatedRuntime()
    with open_model(bench.folder.path, MODEL_NAME, application, look=SOON) as model:
        application.before_load = lambda: [go_on.wait(PATIENCE)]
        _offer(bench, 2, second)
        bench.tick(2 * WINDOW_SECONDS)
        assert bench.state.trial is not None
        report = bench.server.reports[-1]
        assert (report.release, report.phase, report.model_hash) == (second.release, "activated", hash_of(first))
        assert (report.p50_ms, report.confident_ppm) == (None, None)
        go_on.set()
        _until(lambda: _runs(model, second), "the other release answers")
        for _ in range(30):
            model.infer(BRIGHT[0])
        _tells(bench, lambda: bench.state.trial is None, "it is confirmed")
        assert bench.state.confirmed is not None
        assert second.release == bench.state.confirmed.entry.release
        assert hash_of(second) == bench.server.reports[-1].model_hash


def test_a_trial_that_the_application_cannot_answer_with_is_left(bench: Bench) -> None:
    """Its failing answers are loud to the caller, end the trial at once, and the confirmed release answers again."""
    first, second = simulated("1.0.0", 4.0), simulated("1.1.0", 5.0)
    bench.runtime = SimulatedRuntime()
    bench.start()
    bench.confirm(first)
    application = SimulatedRuntime()
    with open_model(bench.folder.path, MODEL_NAME, application, look=SOON) as model:
        _offer(bench, 2, second)
        _until(lambda: _runs(model, second), "the trial answers")

        def fail() -> None:
            # Once: the confirmed release is loaded, and tried, as soon as the trial is left.
            application.before_run = lambda: None
            raise StepFailed("inference_failed", "the model does not answer")

        application.before_run = fail
        with pytest.raises(StepFailed, match="does not answer"):
            model.infer(BRIGHT[0])
        _tells(bench, lambda: bench.state.trial is None, "the trial is left")
        _until(lambda: _runs(model, first), "the confirmed release answers")
    assert ("rolled-back", "inference_failed") in bench.story(second)


def test_a_provider_that_the_application_lacks_is_loud_and_nothing_stands_in(bench: Bench) -> None:
    """On trial: the release is left under `provider_missing`, and what ran goes on. At the first load: it is raised."""
    first, second = simulated("1.0.0", 4.0), simulated("1.1.0", 5.0)
    bench.runtime = SimulatedRuntime()
    bench.start()
    bench.confirm(first)
    application = SimulatedRuntime()

    def lack() -> None:
        raise StepFailed("provider_missing", "this application has no such provider")

    with open_model(bench.folder.path, MODEL_NAME, application, look=SOON) as model:
        application.before_load = lack
        _offer(bench, 2, second)
        _tells(bench, lambda: _runs(model, first) and bench.state.trial is None, "the trial is left")
    assert ("rolled-back", "provider_missing") in bench.story(second)
    with pytest.raises(StepFailed) as raised:
        open_model(bench.folder.path, MODEL_NAME, application)
    assert raised.value.error_code == "provider_missing"


def test_files_that_changed_under_the_agent_are_not_loaded(bench: Bench) -> None:
    """The application hashes what it hands to the session, by the digest that the journal pins."""
    built = build("1.0.0")
    bench.start()
    bench.confirm(built)
    path = bench.agent.device.slots.place(built.artifact) / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StepFailed) as raised:
        _open(bench)
    assert raised.value.error_code == "slot_damaged"


def test_nothing_active_is_said_and_one_application_at_a_time(bench: Bench) -> None:
    """Before anything is confirmed: try again. A second process would tell other figures of the same name: refused."""
    bench.start()
    with pytest.raises(TryAgain, match="no release of meter-reader is active"):
        _open(bench)
    built = build("1.0.0")
    bench.confirm(built)
    with _open(bench) as model:
        with pytest.raises(Refused, match="another application"):
            _open(bench)
        assert _runs(model, built)
    with _open(bench) as model:
        assert _runs(model, built)


def test_a_first_release_that_is_taken_back_leaves_nothing_that_answers(bench: Bench) -> None:
    """Where there is nothing to go back to, an answer of what was taken back is worse than none, and it is said."""
    built = simulated("1.0.0", 4.0)
    bench.runtime = SimulatedRuntime()
    bench.start()
    _offer(bench, 1, built)
    application = SimulatedRuntime()
    with open_model(bench.folder.path, MODEL_NAME, application, look=SOON) as model:

        def fail() -> None:
            raise StepFailed("inference_failed", "the model does not answer")

        application.before_run = fail
        with pytest.raises(StepFailed):
            model.infer(BRIGHT[0])
        _tells(bench, lambda: bench.state.running is None, "the trial is left")
        application.before_run = lambda: None

        def gone() -> bool:
            try:
                model.infer(BRIGHT[0])
            except TryAgain:
                return True
            return False

        _until(gone, "nothing answers")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"runtimeVersion": "1.0.0"}', "x" * 70_000])
def test_what_an_application_tells_in_another_shape_is_not_told(bench: Bench, text: str) -> None:
    """A broken file, or one of hostile size, is none; the agent reports its own session."""
    built = build("1.0.0")
    bench.start()
    bench.confirm(built)
    with _open(bench):
        (bench.folder.sessions / f"{MODEL_NAME}.json").write_text(text)
        assert bench.tick().problem is None
        assert bench.server.reports[-1].model_hash == hash_of(built)


def test_an_application_that_was_killed_is_not_believed_any_more(bench: Bench) -> None:
    """Its file stays behind, its lock does not: the agent goes by its own session again."""
    built = build("1.0.0")
    bench.start()
    bench.confirm(built)
    code = (
        "import os, sys, pathlib, numpy as np\n"
        "from muster.agent.active import open_model\n"
        "model = open_model(pathlib.Path(sys.argv[1]), sys.argv[2])\n"
        "model.infer(np.zeros(4, np.uint8))\n"
        "print('ready', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(bench.folder.path), MODEL_NAME],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        with pytest.raises(Refused):
            _open(bench)
        bench.tick()
        assert bench.server.reports[-1].inferences == 0
    finally:
        child.kill()
        child.communicate()
    assert (bench.folder.sessions / f"{MODEL_NAME}.json").exists()
    bench.tick()
    assert bench.server.reports[-1].inferences > 0

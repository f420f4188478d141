"""Verdicts depend on what was reported, and neither on the order of arrival nor on restarts in between."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from controllers import EVERYONE, SECRET, Scene
from fleets import MODEL, make_policy
from muster.apply import ledger
from muster.daemon import Controller
from muster.kinds.phases import RUNNING
from muster.kinds.policy import Policy
from muster.kinds.release import Release
from muster.kinds.telemetry import Report
from muster.observe.inventory import Enrolment, enrol
from muster.observe.reports import take_reports
from muster.observe.storage import writing

NEW, OLD = f"{MODEL}/1.1.0", f"{MODEL}/1.0.0"
LATENCY = {"name": "fast-enough", "metric": "p95-latency", "quantile": "90%", "limit": "10ms", "minDevices": 2}
WAYS = {
    "holds": (("activated", None), ("confirmed", None), ("healthy", None)),
    "under way": (("downloaded", None), ("activated", None)),
    "leaves by itself": (("activated", None), ("rolled-back", "low_confidence")),
    "does not load": (("failed", "load_failed"),),
    "fails at last": (("activated", None), ("confirmed", None), ("healthy", None), ("rolled-back", "inference_failed")),
    "stays": (),
}
"""What becomes of a device that is offered 1.1.0, phase by phase."""
DEVICE = st.tuples(
    st.sampled_from(["cam-day", "cam-lowlight"]),
    st.sampled_from(["12", "made-up"]),
    st.sampled_from(sorted(WAYS)),
    st.sampled_from([None, 4.0, 40.0]),
)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """1.0.0 is everywhere, 1.1.0 on offer to the canary; both published, nobody reported."""
    scene = Scene.set(tmp_path_factory.mktemp("begun"))
    policy = make_policy().model_dump(mode="json", exclude_none=True, by_alias=True)
    policy["spec"]["tiers"][0]["guardrails"].append(LATENCY)
    scene.declare("policies/default.yaml", Policy.model_validate(policy))
    for version, shares in (("1.0.0", EVERYONE), ("1.1.0", {"canary": "100%"})):
        scene.commit_release(version, shares)
        controller = scene.controller()
        scene.tick(controller)
        controller.close()
    return scene


def reports_of(name: str, said: tuple[str, str, str, float | None], pins: dict[str, Release]) -> list[Report]:
    """All reports of a device, in the order in which it made them."""
    device_class, os_version, way, p95 = said
    steps = [(OLD, "healthy", None), *((NEW, phase, code) for phase, code in WAYS[way])]
    return [
        Report(
            device_id=name,
            sequence=number,
            model=MODEL,
            device_class=device_class,
            generation=1 if release == OLD else 2,
            release=release,
            phase=phase,  # type: ignore[arg-type]  # each of the table is one
            error_code=code,
            # Latency is of what runs: after a failure that is 1.0.0 again.
            model_hash=pins[release if phase in RUNNING else OLD].spec.stages.quantized,
            config_version=pins[release].spec.config_version,
            runtime_version="1.31.1",
            os_version=os_version,
            p95_ms=p95,
        )
        for number, (release, phase, code) in enumerate(steps, start=1)
    ]


def take(controller: Controller, scene: Scene, reports: list[Report]) -> None:
    """They arrive one after the other, a second apart."""
    with writing(controller.engine) as connection:
        for report in reports:
            scene.now += timedelta(seconds=1)
            enrolment = Enrolment(
                device_id=report.device_id,
                device_class=report.device_class,
                labels={"ring": "canary"},
                models=[MODEL],
                token="t",
                secret=SECRET,
            )
            enrol(connection, enrolment, scene.now)
            take_reports(connection, report.device_id, [report], scene.now)


def judged(begun: Scene, folder: Path, batches: list[list[Report]]) -> tuple[Any, Any]:
    """The verdicts of the tick after all batches, and the decisions that it entered.

    Each batch comes to a controller that was started anew, and is looked at once.
    """
    shutil.rmtree(folder, ignore_errors=True)
    # The mirror of the repository is of the place it was made from, and holds nothing of its own.
    shutil.copytree(begun.folder, folder, ignore=shutil.ignore_patterns("repository.git"))
    scene = Scene(folder, begun.now)
    for batch in batches:
        controller = scene.controller()
        take(controller, scene, batch)
        assert controller.preview(scene.now).plan
        controller.close()
    controller = scene.controller()
    done = controller.tick(scene.now)
    assert done
    with controller.engine.connect() as connection:
        entered = [dict(event.body) for event in ledger.events(connection) if event.event == "decided"]
    controller.close()
    return done.plan.verdicts, entered


# Not shrunk: an example is two controllers and costs a second.
@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(DEVICE, min_size=6, max_size=14), st.randoms(use_true_random=False))
def test_the_same_reports_give_the_same_verdict_in_any_order_and_after_restarts(
    begun: Scene, tmp_path: Path, devices: list[Any], random: Random
) -> None:
    """Devices' reports mix as they like, each device's own in its order; the controller is started anew in between."""
    pins = {release: begun.release(release.partition("/")[2], EVERYONE) for release in (OLD, NEW)}
    queues = [reports_of(f"device-{number}", said, pins) for number, said in enumerate(devices)]
    straight = [report for queue in queues for report in queue]
    turns = [number for number, queue in enumerate(queues) for _ in queue]
    random.shuffle(turns)
    waiting = [iter(queue) for queue in queues]
    mixed = [next(waiting[turn]) for turn in turns]
    cuts = sorted(random.sample(range(1, len(mixed)), 2))
    batches = [mixed[: cuts[0]], mixed[cuts[0] : cuts[1]], mixed[cuts[1] :]]

    one, other = judged(begun, tmp_path / "one", [straight]), judged(begun, tmp_path / "other", batches)
    assert one == other
    assert {verdict.release for verdict in one[0]} >= {NEW}

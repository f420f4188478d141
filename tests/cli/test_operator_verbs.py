"""Verbs that ask a controller, against a real server over a storage that tests fill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from fleets import PUBLIC_KEY, make_fleet, make_release
from muster.cli import exit_code_of
from muster.observe.status import write_status
from muster.observe.storage import writing
from muster.plan.describe import release_pins
from muster.plan.planner import Publish, make_plan
from muster.plan.world import Published, World
from sites import SECRET, Site, report

NOW = datetime(2026, 1, 1, tzinfo=UTC)
COMMIT = "c" * 40
RELEASE = make_release("1.0.0", {"canary": "100%", "fleet": "100%"})
RUNS = {"model_hash": RELEASE.spec.stages.quantized, "config_version": RELEASE.spec.config_version}


@pytest.fixture(scope="module")
def module_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("state") / "state")
    site.start()
    yield site
    site.stop()


@pytest.fixture
def site(module_site: Site) -> Site:
    """1.0.0 is published to everyone, and the loop says that it is in step."""
    module_site.empty()
    fleet = make_fleet(RELEASE)
    step = make_plan(fleet, World(signer=PUBLIC_KEY, prepared=frozenset({RELEASE.pins})), NOW).actions[0]
    assert isinstance(step, Publish)
    module_site.published = Published(step.generation, step.documents, frozenset(step.artifacts))
    loop = {"at": NOW.isoformat(), "commit": COMMIT, "sync": "Synced", "ready": True, "reason": "every condition holds"}
    with writing(module_site.engine) as connection:
        write_status(connection, "loop", loop, NOW)
        write_status(connection, "releases", release_pins(fleet), NOW)
    return module_site


def device(site: Site, device_id: str, phase: str | None, device_class: str = "cam-day") -> None:
    """A device that is enrolled, and says that it runs 1.0.0 if a phase is given."""
    site.enrol(device_id, device_class=device_class)
    if phase:
        said = report(1, device_id=device_id, phase=phase, **RUNS)
        assert site.report(said, token=f"{device_id}:{SECRET}")[0] == 200


def ask(site: Site, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of a verb."""
    code = exit_code_of([*arguments, "--server", site.url, "--state", str(site.state), "-o", "json"])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else None


def wait(site: Site, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    return ask(site, capsys, "wait", "--timeout", "1ms", *arguments)


def test_running_is_not_yet_healthy(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A device that runs the release on trial, or confirmed it, is waited for until it says that it is healthy."""
    device(site, "a", "healthy")
    device(site, "b", "confirmed")
    code, said = wait(site, capsys)
    assert (code, len(said["missing"])) == (1, 1)
    assert said["missing"][0].startswith("1 of 2 reporting devices of cam-day are not healthy")
    site.report(report(2, device_id="b", **RUNS), token=f"b:{SECRET}")
    assert wait(site, capsys) == (0, {"holds": True, "missing": [], "silent": [], "commit": COMMIT})


def test_a_silent_device_is_named_and_not_waited_for(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """It may lie in a drawer; that nobody of a class reports is another matter."""
    device(site, "a", "healthy")
    device(site, "drawer", None)
    code, said = wait(site, capsys)
    assert (code, said["silent"]) == (0, ["drawer (meter-reader)"])
    device(site, "low", None, "cam-lowlight")
    code, said = wait(site, capsys)
    assert code == 1
    assert said["missing"] == ["none of 1 devices of cam-lowlight has ever reported on meter-reader"]


def test_another_commit_is_waited_for(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit is named by its id or the beginning of it; a branch is no commit."""
    device(site, "a", "healthy")
    assert wait(site, capsys, "--commit", "c" * 7)[0] == 0
    code, said = wait(site, capsys, "--commit", "d" * 40)
    assert (code, said["holds"]) == (1, False)
    assert wait(site, capsys, "--commit", "main")[0] == 2


def test_every_device_of_every_page_is_listed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where a device runs several models, and so fills several rows of a page."""
    for number in range(3):
        site.enrol(f"dev-{number}", models=["meter-reader", "other-model"])
    from muster.serve.client import ControllerClient

    found = [item["deviceId"] for item in ControllerClient(site.url, site.state).pages("/v1/devices", limit=2)]
    assert found == [f"dev-{number}" for number in range(3) for _ in range(2)]
    assert len(ask(site, capsys, "get", "devices")[1]) == 6

"""`muster trace` as a user runs it: from a device down to data and approvals, and from a snapshot up to devices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from muster.cli import exit_code_of
from muster.review.lineage import running_of
from packages import APPROVER, PackagedFleet
from sites import Site, report


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> PackagedFleet:
    return PackagedFleet(tmp_path_factory.mktemp("trace") / "fleet")


@pytest.fixture(scope="module")
def site(fleet: PackagedFleet) -> Iterator[Site]:
    """A controller's server with two devices: one runs 1.2.0, one something that nobody declares."""
    site = Site(fleet.state)
    site.start()
    spec = fleet.release.spec
    site.enrol("dev-1")
    site.enrol("dev-2")
    told = {"model_hash": spec.stages.quantized, "config_version": spec.config_version, "release": fleet.release.name}
    assert site.report(report(1, **told))[0] == 200
    odd = {"device_id": "dev-2", "model_hash": "sha256:" + "e" * 64, "config_version": spec.config_version}
    assert site.report(report(1, **odd), token=f"dev-2:{'s' * 43}")[0] == 200
    yield site
    site.stop()


@pytest.fixture
def run(fleet: PackagedFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run the verb in the fleet's repository."""
    monkeypatch.delenv("MUSTER_SERVER", raising=False)
    monkeypatch.delenv("MUSTER_STATE", raising=False)
    monkeypatch.chdir(fleet.folder)

    def call(*arguments: str, state: Path = tmp_path) -> int:
        return exit_code_of(["trace", *arguments, "--state", str(state)])

    return call


@pytest.mark.parametrize("how", ["state", "server"])
def test_from_a_device(run, fleet: PackagedFleet, site: Site, capsys: pytest.CaptureFixture[str], how: str) -> None:
    """To artifact, recipe, table, snapshot, source, training, data set, evidence, commits and approvals."""
    where = ["--server", site.url] if how == "server" else []
    assert run("dev-1", "-o", "json", *where, state=fleet.state) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["is"] == ["device"]
    release = found["runs"][0]["release"]
    steps = {step["what"]: step["id"] for step in release["descent"]}
    spec = fleet.release.spec
    assert steps["artifact"] == spec.artifact.digest
    assert steps["calibration snapshot"] == spec.snapshots.calibration
    assert steps["training commit"] == spec.source.lineage.training_commit
    assert steps["data set"] == spec.source.lineage.dataset
    assert {one["signer"] for one in release["evidence"]} == {"lab"}
    assert [(one["by"], one["commit"]) for one in release["approvals"]] == [(APPROVER, fleet.head)]
    assert release["commits"][0]["subject"] == "widen to the canary"


def test_from_a_snapshot_to_devices(run, fleet: PackagedFleet, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Which devices run something calibrated on it?"""
    assert site.port
    snapshot = fleet.release.spec.snapshots.calibration
    assert run(snapshot, "-o", "json", state=fleet.state) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["is"] == ["calibration snapshot"]
    devices = {one["release"]: [device["device"] for device in one["devices"]] for one in found["releases"]}
    assert devices == {"meter-reader/1.2.0": ["dev-1"], "meter-reader/1.1.0": [], "meter-reader/1.0.0": []}
    assert run(snapshot, state=fleet.state) == 0
    shown = capsys.readouterr().out
    assert "meter-reader/1.2.0 (as calibration snapshot)" in shown
    assert "device:                dev-1 (cam-day)  healthy" in shown


def test_a_device_that_runs_what_nobody_declares(
    run, fleet: PackagedFleet, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said to be so, by device and by what it reported."""
    assert site.port
    for thing in ("dev-2", "sha256:" + "e" * 64):
        assert run(thing, state=fleet.state) == 0
        assert "no release of this commit" in capsys.readouterr().out


def test_two_releases_of_the_same_bytes(fleet: PackagedFleet) -> None:
    """Other data may lead to the same model: a device that runs it runs both, and neither's data is missed."""
    metadata = fleet.release.metadata.model_copy(update={"version": "9.0.0"})
    other = fleet.release.model_copy(update={"metadata": metadata})
    told = {"model_hash": fleet.release.spec.stages.quantized, "config_version": fleet.release.spec.config_version}
    state = {"deviceId": "dev-1", "deviceClass": "cam-day", "model": "meter-reader", "telemetry": told}
    assert [one.release for one in running_of([state], [fleet.release, other])] == [fleet.release.name, other.name]
    assert [one.release for one in running_of([{**state, "telemetry": None}], [other])] == [None]


def test_without_a_controller(run, fleet: PackagedFleet, capsys: pytest.CaptureFixture[str]) -> None:
    """Git alone answers for releases and digests; that nobody asked devices is said; the unknown is refused."""
    assert run("meter-reader/1.2.0") == 0
    shown = capsys.readouterr().out
    assert "devices:               not asked" in shown
    assert f"approved:              {APPROVER}  change" in shown
    assert run("dev-1") == 1
    assert "devices are known where a controller answers" in capsys.readouterr().err
    assert run("meter-reader/1.2.0", "--server", "http://127.0.0.1:9", state=fleet.state) == 2
    assert run("x", "--revision", "nothing") == 2

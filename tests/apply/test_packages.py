"""Packages are made once, from what is published, with a key that git declares; what is missing is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ddi_fleet import DDI_CLASS, DdiFleet
from muster.apply.packages import KEPT
from muster.kinds.digest import digest_of
from muster.observe.status import read_status
from scratch_repository import commit_all


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[DdiFleet]:
    made = DdiFleet(tmp_path)
    made.release("1.0.0")
    yield made
    made.stop()


def said(fleet: DdiFleet) -> dict[str, Any]:
    with fleet.site.engine.connect() as connection:
        found: dict[str, Any] = read_status(connection, "ddi")
    return found


def conditions(fleet: DdiFleet) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["message"]) for one in fleet.status()["conditions"]}


def packages(fleet: DdiFleet) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (fleet.scene.state / "packages").glob("*")}


def test_a_package_is_made_once_and_the_ledger_names_its_key(fleet: DdiFleet) -> None:
    """Ticks change nothing; a package that is gone is made again, with the same bytes; native classes have none."""
    before = packages(fleet)
    assert len(before) == 1
    assert said(fleet).keys() == {DDI_CLASS}
    fleet.tick()
    assert packages(fleet) == before
    path = fleet.scene.state / "packages" / next(iter(before))
    data = path.read_bytes()
    path.unlink()
    fleet.tick()
    assert path.read_bytes() == data
    [file] = said(fleet)[DDI_CLASS]["files"].values()
    assert f"sha256:{file['sha256']}" == digest_of(data)
    assert conditions(fleet)["PackagesMade"][0] == "True"
    rows = fleet.site.ask("GET", "/v1/ledger?limit=1000", headers=fleet.operator)[1]["items"]
    assert [row["body"]["subject"] for row in rows if row["body"].get("role") == "packages"] == ["meter-reader/1.0.0"]


def test_without_a_declared_key_nothing_is_offered_and_the_reason_is_said(fleet: DdiFleet) -> None:
    """The controller's own key is not taken for what git does not name it for."""
    (fleet.scene.repository / "policies/keys/swu.yaml").unlink()
    commit_all(fleet.scene.repository, "No key for packages")
    fleet.release("1.1.0")
    status, message = conditions(fleet)["PackagesMade"]
    assert (status, "no key that is here is declared for packages" in message) == ("False", True)
    assert "deploymentBase" not in fleet.device().poll()


def test_what_is_named_no_more_stays_for_a_time_and_goes(fleet: DdiFleet) -> None:
    """A device may be in the middle of fetching it."""
    fleet.release("1.1.0")
    assert len(packages(fleet)) == 2
    fleet.scene.now += KEPT + timedelta(minutes=1)
    fleet.tick()
    assert len(packages(fleet)) == 1
    assert [one["version"] for one in said(fleet)[DDI_CLASS]["files"].values()] == ["1.1.0"]


def test_an_artifact_can_be_given_as_it_is(tmp_path: Path) -> None:
    """`package: tar`: the published file itself, for which no key is needed."""
    fleet = DdiFleet(tmp_path, package="tar")
    try:
        fleet.release("1.0.0")
        [(artifact, file)] = said(fleet)[DDI_CLASS]["files"].items()
        assert (f"sha256:{file['sha256']}", file["filename"]) == (artifact, "meter-reader-1.0.0.tar")
        assert packages(fleet) == {}
        assert fleet.device().install() == "1.0.0"
    finally:
        fleet.stop()


def test_a_class_that_was_changed_gets_packages_anew(fleet: DdiFleet) -> None:
    """Another folder on the device is another package."""
    before = packages(fleet)
    path = fleet.scene.repository / f"devices/classes/{DDI_CLASS}.yaml"
    declared = json.loads(path.read_bytes())
    declared["spec"]["swu"]["folder"] = "/opt/models"
    path.write_text(json.dumps(declared))
    commit_all(fleet.scene.repository, "Models move")
    fleet.tick()
    assert packages(fleet).keys().isdisjoint(before)

"""What becomes of the actions of DDI clients: superseded, cancelled, failed, taken back; and who brings devices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddi_fleet import DDI_CLASS, DdiFleet, Device, details, outcome


@pytest.fixture
def own(tmp_path: Path) -> Iterator[DdiFleet]:
    """1.0.0 is on offer to everybody."""
    made = DdiFleet(tmp_path)
    made.release("1.0.0")
    yield made
    made.stop()


def test_what_is_superseded_is_cancelled_and_then_gone(own: DdiFleet) -> None:
    """A cancel link without a query until `closed`; no details; 410 for feedback afterwards; ids are not used again."""
    device = own.device()
    device.install()
    own.release("1.1.0")
    begun = details(device)["id"]
    own.take_back("1.1.0")
    links = device.poll()
    assert links["cancelAction"] == f"{device.base}/cancelAction/{begun}"
    assert "deploymentBase" not in links
    assert device.call("GET", f"/deploymentBase/{begun}").status == 404
    told = device.call("GET", links["cancelAction"]).json()
    assert told == {"id": begun, "cancelAction": {"stopId": begun}}
    assert device.feedback(f"/cancelAction/{begun}", "rejected", "success") == 200
    assert "cancelAction" in device.poll()
    assert device.feedback(f"/cancelAction/{begun}", "closed", "success") == 200
    assert device.feedback(f"/cancelAction/{begun}", "closed", "success") == 405
    assert device.feedback(f"/deploymentBase/{begun}", "closed", "success") == 410
    assert not {"cancelAction", "deploymentBase"} & set(device.poll()), "1.0.0 was never left"
    own.release("1.2.0")
    assert int(details(device)["id"]) > int(begun)


def test_what_was_begun_and_cancelled_leaves_nobody_sure_of_the_file(own: DdiFleet) -> None:
    """SWUpdate agrees to a cancellation with the new file in place: what should run is installed anew."""
    device = own.device()
    device.install()
    own.release("1.1.0")
    begun = f"/deploymentBase/{details(device)['id']}"
    assert device.feedback(begun, "proceeding", "none", "All Chunks Installed.") == 200
    own.take_back("1.1.0")
    stop = device.poll()["cancelAction"]
    assert device.feedback(stop, "closed", "success", "cancellation acknowledged.") == 200
    assert device.install() == "1.0.0"
    assert "deploymentBase" not in device.poll()


def test_what_the_application_loaded_is_what_the_device_runs(own: DdiFleet) -> None:
    """Written down as it says it: another model than the installed one is no health, and no fault of the release."""
    device = own.device()
    device.install()
    other = "sha256:" + "7" * 64
    entry = own.site.published.documents["meter-reader", DDI_CLASS].entries[0]
    said = {"muster.meter-reader.config_version": entry.config_version, "muster.meter-reader.model_hash": other}
    assert device.put_attributes({**said, "muster.meter-reader.health": "nothing fits"}) == 200
    [known] = own.site.ask("GET", "/v1/devices", headers=own.operator)[1]["items"]
    assert (known["telemetry"]["model_hash"], known["synced"], known["phase"]) == (other, False, "activated")


def test_a_way_back_is_a_new_action_for_what_was_there_before(own: DdiFleet) -> None:
    """1.0.0 → 1.1.0 → 1.0.0: the third id is above the second; 1.1.0 counts as called back, not as failed."""
    device = own.device()
    versions, ids = [device.install()], []
    for change in (lambda: own.release("1.1.0"), lambda: own.take_back("1.1.0")):
        change()
        ids.append(int(details(device)["id"]))
        versions.append(device.install())
    assert versions == ["1.0.0", "1.1.0", "1.0.0"]
    assert ids == sorted(set(ids))
    [row] = [row for row in own.status()["releases"] if row["release"] == "meter-reader/1.1.0"]
    assert (row["failures"], row["recalled"]) == (0, 1)


def test_what_failed_on_a_device_is_left_for_what_is_below(own: DdiFleet) -> None:
    """`closed` with failure: the file may be either, so what is below is offered, though it was installed before."""
    device = own.device()
    device.install()
    own.release("1.1.0", "99.9999%")
    action = f"/deploymentBase/{details(device)['id']}"
    assert device.feedback(action, "closed", "failure", "HASH mismatch") == 200
    assert outcome(own, "1.1.0") == {"failed": 1}
    assert device.install() == "1.0.0"
    assert "deploymentBase" not in device.poll()


def test_a_gateway_brings_devices_of_its_own(own: DdiFleet) -> None:
    """They register by naming their class; they cannot move later, nor speak for a device with the native agent."""
    device = own.gateway("gate-1")
    assert device.put_attributes({"muster.device_class": DDI_CLASS}) == 404, "it never polled"
    assert set(device.poll()) == {"configData"}
    assert device.put_attributes({"muster.device_class": "cam-day"}) == 400
    assert device.put_attributes({"muster.device_class": DDI_CLASS, "muster.label.ring": "canary"}) == 200
    known = own.client("gate-1").device
    assert known is not None
    assert (known.device_class, known.labels) == (DDI_CLASS, {"ring": "canary"})
    assert device.install() == "1.0.0"
    assert device.put_attributes({"muster.label.ring": "last"}) == 200
    own.site.enrol("native-1")
    assert Device(own.site, "native-1", device.headers).call("GET", "").status == 404
    own.site.keys.gateway_token_path.unlink()
    assert device.call("GET", "").status == 401


def test_a_device_can_come_with_a_release_on_it(own: DdiFleet) -> None:
    """PUT installedBase: 201, 200 the second time, 404 for what is not on offer; nothing is then left to do."""
    device = own.device()
    have = {"name": "meter-reader", "version": "1.0.0"}
    assert device.call("PUT", "/installedBase", {**have, "version": "9.9.9"}).status == 404
    assert [device.call("PUT", "/installedBase", have).status for _ in range(2)] == [201, 200]
    assert "deploymentBase" not in device.poll()
    assert outcome(own, "1.0.0") == {"activated": 1}


def test_a_rollout_writes_no_row_for_a_device(own: DdiFleet) -> None:
    """Publishing changes nothing that is on record of clients; half of them get the release all the same."""
    devices = [own.device(f"row-{n}") for n in range(8)]
    for device in devices:
        device.install()
    before = [own.client(device.device_id) for device in devices]
    own.release("1.1.0", "50%")
    assert [own.client(device.device_id) for device in devices] == before
    offered = ["deploymentBase" in device.poll() for device in devices]
    assert 0 < sum(offered) < len(devices)

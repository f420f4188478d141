"""Debian's SWUpdate, from its own daemon for hawkBit (suricatta) to the file on its disk, steered by commits.

Skipped where the program is missing: `make peers` brings it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ddi_fleet import DDI_CLASS, DdiFleet
from muster.artifacts.bundle import MODEL, read_bundle
from muster.attest.keys import new_private_key
from muster.attest.package_signature import package_certificate
from muster.demo.swupdate import CONFIRM, FAIL, Swupdate, is_there
from muster.observe.ddi import messages
from sites import SECRET

pytestmark = pytest.mark.skipif(not is_there(), reason="swupdate is not installed: run `make peers` as root on Debian")

PATIENCE = 30


class Board:
    """One device with SWUpdate. What it runs of the model is the file that it installed."""

    def __init__(self, folder: Path, fleet: DdiFleet, certificate: bytes) -> None:
        self.swupdate = Swupdate(folder, fleet.site.url, ("dev-1", SECRET), certificate)
        self.installed = self.swupdate.installed

    @contextmanager
    def boot(self, confirm: str = "") -> Iterator[None]:
        """The daemon from a start to the next, with what is said of what was installed before."""
        self.swupdate.boot(confirm)
        try:
            yield
        finally:
            self.swupdate.stop()

    @property
    def model(self) -> str | None:
        """The bytes of the model that is on the disk, as text."""
        return read_bundle(self.installed.read_bytes())[MODEL].decode() if self.installed.exists() else None

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something to come true; the daemon's log tells why it did not."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, self.swupdate.log.read_text(errors="replace")[-6_000:]
            time.sleep(0.05)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[DdiFleet]:
    made = DdiFleet(tmp_path / "controller", install_folder=str(tmp_path / "board" / "models"), pause="1s")
    made.device()
    yield made
    made.stop()


def phases(fleet: DdiFleet, version: str) -> dict[str, int]:
    for row in fleet.status()["releases"]:
        if (row["release"], row["deviceClass"]) == (f"meter-reader/{version}", DDI_CLASS):
            return {phase: count for phase, count in row["phases"].items() if count}
    return {}


def said(fleet: DdiFleet, what: str) -> bool:
    """True if the client wrote this about its newest action."""
    actions = fleet.client().actions
    with fleet.site.engine.connect() as connection:
        return bool(actions) and any(what in line for line in messages(connection, "dev-1", actions[-1].action_id))


def newest(fleet: DdiFleet) -> tuple[str, str] | None:
    """(release, state) of the newest action."""
    actions = fleet.client().actions
    return (actions[-1].release, actions[-1].state) if actions else None


def has_installed(fleet: DdiFleet, version: str) -> bool:
    """True if the client wrote that the file is in place, and has not said yet whether it works."""
    return newest(fleet) == (f"meter-reader/{version}", "open") and said(fleet, "All Chunks Installed")


def test_swupdate_goes_up_and_an_aborted_release_is_taken_back(fleet: DdiFleet, tmp_path: Path) -> None:
    """1.0.0, 1.1.0, a 1.2.0 that does not work: each commit moves the file, and the last one brings 1.1.0 back."""
    board = Board(tmp_path / "board", fleet, fleet.certificate)

    def update_to(version: str, confirm: str) -> None:
        with board.boot():
            board.until(lambda: has_installed(fleet, version))
        assert board.model == f"model {version}"
        with board.boot(confirm):
            ended = "installed" if confirm == CONFIRM else "failed"
            board.until(lambda: newest(fleet) == (f"meter-reader/{version}", ended))

    for version in ("1.0.0", "1.1.0"):
        fleet.release(version)
        update_to(version, CONFIRM)
        assert phases(fleet, version) == {"activated": 1}
    fleet.release("1.2.0")
    update_to("1.2.0", FAIL)
    assert phases(fleet, "1.2.0") == {"failed": 1}
    fleet.take_back("1.2.0")
    update_to("1.1.0", CONFIRM)
    ids = [action.action_id for action in fleet.client().actions]
    assert len(ids) == 4
    assert ids == sorted(set(ids))


def test_swupdate_refuses_a_package_of_another_key(fleet: DdiFleet, tmp_path: Path) -> None:
    """What the device trusts is the certificate that it was given: nothing is installed, and the failure is counted."""
    board = Board(tmp_path / "board", fleet, package_certificate(new_private_key()))
    fleet.release("1.0.0")
    with board.boot():
        board.until(lambda: newest(fleet) == ("meter-reader/1.0.0", "failed"))
    assert board.model is None
    assert phases(fleet, "1.0.0") == {"failed": 1}

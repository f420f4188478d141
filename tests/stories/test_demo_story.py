"""The whole story with a mixed fleet, while the daemon is killed twenty times (SIGKILL), at random in every act.

This runs the README's `make demo`, with fewer devices, clients of hawkBit's API in one class (SWUpdate among them,
where it is installed), and the kills added: about two minutes on two cores. `make test-long` runs it, alone: it has
health windows and time limits, which other tests beside it would use up.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS, DEVICES = 20, 6
CLASSES = ("cam-day", "cam-edge", "cam-lowlight")


@pytest.mark.long
def test_the_demo_ends_in_the_same_state_however_often_the_daemon_is_killed() -> None:
    """1.1.0 reaches every device, 1.2.0 is stopped and reverted, and every device runs what git declares.

    An identity vouched for the rebuild of 1.1.0, and is believed when the Sigstore that certified it is gone.
    """
    command = ["make", "--silent", "demo", f"DEMO=--mixed --devices {DEVICES} --kill-daemon {KILLS} -o json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4_000:] + done.stdout[-2_000:]
    report = json.loads(done.stdout)
    assert report["holds"]
    assert report["kills"] == KILLS
    assert [check["what"] for check in report["checks"] if not check["holds"]] == []
    assert "GOOD at L2, signed by identities/demo-rebuilder" in report["checks"][-1]["seen"]
    assert report["final"] == {
        name: {"meter-reader/1.1.0": DEVICES} for name in ("cam-day", "cam-edge", "cam-lowlight")
    }
    assert report["halt"]["harmed"] >= 1
    found = report["halt"]["detection"]
    assert found["evidence"] >= found["needed"] > 1
    assert found["failed"] >= 3
    assert 1 <= found["ticks"] <= 2
    assert report["halt"]["downloadsToRecover"] == 0

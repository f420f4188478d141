"""A step of a rollout, planned and published: a fleet of ten million enrolled devices beside one of a thousand.

    python benchmarks/plan_scale.py [--devices 10000000] [--rounds 7]

Both have a whole controller on a repository of their own, with the same releases. In every round each gets one commit
that widens the rollout, and ticks once: it reads git, observes, plans, signs and publishes. CPU time of the process and
of git; the ratio is that of one round, given as its median with its smallest and largest. After every step, each table
of the storage is counted again: a step may write to the ledger and to what the loop says of itself, and to no table
with a row for each device.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "controller")]

from sqlalchemy import Connection, func, select, text  # noqa: E402

from controllers import EVERYONE, Scene  # noqa: E402
from muster.daemon import Controller  # noqa: E402
from muster.kinds.quantity import format_percent  # noqa: E402
from muster.observe.storage import metadata, writing  # noqa: E402

TARGET = 1.5
FEW = 1_000
PER_DEVICE = {"devices", "running", "outcomes"}

# One statement for all: what is measured is the step, not the enrolment.
ENROL = """
WITH RECURSIVE number(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < :count)
INSERT INTO devices (device_id, device_class, labels, models, secret_hash, enrolled_at, last_sequence, habit_ms)
SELECT printf('measured-%08d', n), CASE n % 2 WHEN 0 THEN 'cam-day' ELSE 'cam-lowlight' END,
       CASE n % 20 WHEN 0 THEN '{"ring": "canary"}' ELSE '{}' END, '["meter-reader"]', '', '2026-01-01', 0, 0
FROM number
"""


class Fleet:
    """A controller with so many enrolled devices."""

    def __init__(self, folder: Path, devices: int) -> None:
        self.scene = Scene.set(folder)
        self.controller: Controller = self.scene.controller()
        with writing(self.controller.engine) as connection:
            connection.execute(text(ENROL), {"count": devices})
        self.scene.commit_release("1.0.0", EVERYONE)
        self.scene.tick(self.controller)
        self.scene.commit_release("1.1.0", {"canary": "1%"})
        self.scene.tick(self.controller)

    def step(self, percent: str) -> tuple[float, dict[str, int]]:
        """CPU seconds of the step, and how many rows each table gained."""
        self.scene.commit_release("1.1.0", {"canary": percent})
        before = self.rows()
        began = processor()
        done = self.scene.tick(self.controller)
        spent = processor() - began
        assert done == ["publish"], done
        after = self.rows()
        return spent, {name: after[name] - before[name] for name in after if after[name] != before[name]}

    def rows(self) -> dict[str, int]:
        """Rows of every table."""
        with self.controller.engine.connect() as connection:
            return {table.name: _count(connection, table.name) for table in metadata.sorted_tables}


def _count(connection: Connection, table: str) -> int:
    return int(connection.execute(select(func.count()).select_from(text(table))).scalar_one())


def processor() -> float:
    """CPU seconds of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main() -> int:
    """Exit 1 if the ratio is above the target, or a row was written for a device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        began = time.monotonic()
        fleets = {count: Fleet(Path(scratch) / str(count), count) for count in (FEW, options.devices)}
        print(f"{options.devices:,} and {FEW:,} devices enrolled in {time.monotonic() - began:.0f} s")
        spent: dict[int, list[float]] = {count: [] for count in fleets}
        written: set[str] = set()
        for number in range(options.rounds):
            for count, fleet in fleets.items():
                seconds, gained = fleet.step(format_percent(20_000 + 10_000 * number))
                spent[count].append(seconds)
                written |= gained.keys()
        for fleet in fleets.values():
            fleet.controller.close()
    ratios = [many / few for few, many in zip(spent[FEW], spent[options.devices], strict=True)]
    for count, seconds in spent.items():
        print(f"{count:>12,} devices: {statistics.median(seconds) * 1000:7.1f} ms of CPU a step")
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), target {TARGET}")
    print(f"tables that gained rows: {', '.join(sorted(written)) or 'none'}")
    return int(statistics.median(ratios) > TARGET or bool(written & PER_DEVICE))


if __name__ == "__main__":
    sys.exit(main())

"""A device's side of `delta_size.py`, in a process of its own; the server is a folder.

    python delta_device.py INDEX [PLACE BASE OLDER REPORT]

With the index alone it starts, and ends before anything is made.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "controller"))

from muster.agent.parts import Around, bring
from muster.agent.server import TARGETS
from muster.agent.trusted import Target
from muster.artifacts.disk import DISK
from muster.kinds.delta import DeltaIndex


def main(path: str, *rest: str) -> None:
    """Make the artifact of the index at PLACE, of what lies unpacked in BASE, and write down what was fetched."""
    index = DeltaIndex.model_validate_json(Path(path).read_bytes())
    if not rest:
        return
    place, base, older, report = Path(rest[0]), Path(rest[1]), rest[2], Path(rest[3])
    fetched = 0

    def fetch(target: Target, to: Path) -> None:
        nonlocal fetched
        fetched += target.length
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(path).parents[1] / target.path.removeprefix(TARGETS), to)

    place.parent.mkdir(parents=True, exist_ok=True)
    found = bring(index, place, Around(fetch, {older: base}, lambda _folder: 2**40, DISK))
    if found is None:
        raise SystemExit("nothing is cheaper than the artifact as a whole")
    report.write_text(json.dumps({"way": found[0], "fetched": fetched}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What runs in the environment: reads the request in its folder, runs the stages, leaves a result.

It runs on the packages of a builder's lock and on Python's own library: no module that it imports needs more.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

REQUEST: Final = "request.json"
RESULT: Final = "result.json"
STORE: Final = "store"


def main() -> None:
    """Run the stages in the folder that the command line names, with the umask that comes second, in octal digits."""
    folder = Path(sys.argv[1])
    os.umask(int(sys.argv[2], 8))
    from muster.kinds.errors import MusterError, Refused, TryAgain

    try:
        result: dict[str, Any] = {"ran": _run(folder)}
    except MusterError as error:
        kind = "Refused" if isinstance(error, Refused) else "TryAgain" if isinstance(error, TryAgain) else "Unusable"
        result = {"error": {"type": kind, "message": error.message, "hint": error.hint}}
    # Whoever reads it must not find half of it.
    (folder / f"{RESULT}.part").write_text(json.dumps(result))
    (folder / f"{RESULT}.part").rename(folder / RESULT)


def _run(folder: Path) -> dict[str, Any]:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from muster.artifacts.store import Store
    from muster.build.hermetic.values import read_values
    from muster.build.pipeline import BuildInputs, run_here

    request = json.loads((folder / REQUEST).read_bytes())
    inputs = BuildInputs(**{name: read_values(value) for name, value in request["inputs"].items()})
    ran = run_here(inputs, Store(folder / STORE), cached=False, pinned_table=request["pinnedTable"])
    return dataclasses.asdict(ran)

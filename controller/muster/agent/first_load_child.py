"""The process of a first load: `python -m muster.agent.first_load_child FOLDER`, a slot on standard input.

It says how far it came, and at its end one line of JSON: an error code and a message, or null.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from pathlib import Path

from muster.agent.first_load import LOADED, READY
from muster.agent.journal import Slot
from muster.agent.loaded import load_slot
from muster.agent.runtime import OnnxRuntime, Session
from muster.agent.setbacks import StepFailed
from muster.kinds.release import Inference

_INPUT_LIMIT = 2**20


class _Telling(OnnxRuntime):
    def load(self, model: bytes, provider: str, config: Inference) -> Session:
        session = super().load(model, provider, config)
        _tell(LOADED)
        return session


def _tell(what: bytes) -> None:
    sys.stdout.buffer.write(what)
    sys.stdout.buffer.flush()


def main() -> None:
    """Load once, and say how it went."""
    given = json.loads(sys.stdin.buffer.read(_INPUT_LIMIT))
    slot = Slot.model_validate_json(json.dumps(given["slot"]))
    runtime = _Telling()
    # The library itself is not what is tried here: the limit begins above it.
    found = runtime.version and re.search(
        r"^VmSize:\s+([0-9]+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE
    )
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if given["memory"] is not None and found:
        most = int(found[1]) * 1_024 + int(given["memory"])
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    code, message = None, None
    _tell(READY)
    try:
        load_slot(Path(sys.argv[1]), slot, runtime)
    except StepFailed as failure:
        code, message = failure.error_code, failure.message
    except MemoryError:
        code, message = "out_of_memory", "the artifact needs more memory than this device has"
    _tell(json.dumps({"error_code": code, "message": message}).encode())


if __name__ == "__main__":
    main()

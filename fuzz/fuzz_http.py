"""Every route of a real server under Schemathesis: `python fuzz/fuzz_http.py SECONDS [SEED]`, as in `make fuzz`.

Prints what was answered, by handler and status. Exit 1 if anything was answered with 5xx, or not as the OpenAPI
document says.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "controller")]

from http_fuzz import fuzz


def main() -> int:
    """Run, and print."""
    seconds, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as folder:
        done = fuzz(Path(folder), seed, seconds)
    print(done.said)
    for (name, status), count in sorted(done.counts.items()):
        print(f"{name}\t{status}\t{count}")
    print(f"{sum(done.counts.values())} answers, {sum(done.server_errors.values())} of them 5xx")
    return 1 if done.server_errors or done.exit_code else 0


if __name__ == "__main__":
    sys.exit(main())

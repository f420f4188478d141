"""What the tests found, kept in outcomes.json for docs/faults.md.

A run that finds anything else fails. `KEEP_OUTCOMES=1 pytest ...` keeps what it finds instead; `make docs` shows it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_name("outcomes.json")


def hold(name: str, found: Any) -> None:
    """Compare with what is kept, or keep it."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if os.environ.get("KEEP_OUTCOMES"):
        KEPT.write_text(json.dumps({**kept, name: found}, indent=1, sort_keys=True) + "\n")
        return
    assert kept.get(name) == json.loads(json.dumps(found)), f"other outcomes than docs/faults.md shows: see {__file__}"

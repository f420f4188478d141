"""The source of the stages as one zip that an interpreter runs: what an environment gets of Muster.

The same bytes for the same source: names sorted, no times, nothing compressed.
"""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path
from typing import Final

import muster

PARTS: Final = ("artifacts", "build", "kinds")
MAIN: Final = "from muster.build.hermetic.step import main\n\nmain()\n"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@functools.cache
def program() -> bytes:
    """The zip. Raises `OSError` if the installed package cannot be read."""
    root = Path(muster.__file__).parent
    files = {"__main__.py": MAIN.encode(), "muster/__init__.py": (root / "__init__.py").read_bytes()}
    for part in PARTS:
        for path in (root / part).rglob("*.py"):
            files[f"muster/{path.relative_to(root)}"] = path.read_bytes()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name])
    return target.getvalue()

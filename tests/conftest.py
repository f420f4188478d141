"""Makes the modules of this folder importable from every test: `scratch_repository`, `scratch_fleet`."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import settings

# A busy machine is no defect of what is tested.
settings.register_profile("muster", deadline=None)
settings.load_profile("muster")

LONGEST: Final = ("stories/test_demo_story.py", "docs/test_documents.py", "build/sandbox/test_sandbox_escapes.py")
"""Files that take minutes: begun first, so that no process is left with one of them when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest first; else in the order of their names."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))

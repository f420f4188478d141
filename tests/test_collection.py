"""What stands in this folder is run."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest


def test_no_folder_of_tests_is_passed_over(pytestconfig: pytest.Config) -> None:
    """Pytest skips folders by name, `build` among them unless it is told otherwise, and says nothing."""
    here = Path(__file__).parent
    folders = {path.parent.relative_to(here) for path in here.rglob("test_*.py")}
    skipped = pytestconfig.getini("norecursedirs")
    assert len(folders) > 20
    assert [
        str(folder) for folder in folders if any(fnmatch(part, one) for part in folder.parts for one in skipped)
    ] == []

"""Makes the modules of this folder importable from every test: `scratch_repository`, `scratch_fleet`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from sites import Site

# A busy machine is no defect of what is tested.
settings.register_profile("muster", deadline=None)
settings.load_profile("muster")

LONGEST: Final = ("docs/test_documents.py", "build/test_reproducible.py", "agent/test_agent_crash_points.py")
"""Files that take half a minute and more: begun first, so that no process is left with one when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest first; else in the order of their names."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))


@pytest.fixture(scope="module")
def module_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A running server for a whole file; each test empties it first."""
    # Few files need a server, and every process reads this one.
    from sites import Site

    site = Site(tmp_path_factory.mktemp("state") / "state")
    site.start()
    yield site
    site.stop()

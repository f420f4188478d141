"""The built-in metric source."""

from __future__ import annotations

from pathlib import Path

import pytest
from source_conformance import TALLY, SourceConformance

from muster.observe import tallies
from muster.observe.counts import observed
from muster.observe.storage import open_storage, writing
from muster.plan.metric_source import TallySource


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TallySource:
    """Through the storage and back."""
    folder: Path = tmp_path_factory.mktemp("built-in")
    engine = open_storage(folder / "state")
    with writing(engine) as connection:
        tallies.add(connection, TALLY)
        seen = observed(connection)
    engine.dispose()
    return TallySource(seen.tally)


class TestBuiltIn(SourceConformance):
    """All of the suite."""

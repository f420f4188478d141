"""The controller's own publisher, with keys, for one document."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from agent_simulator import Built

from muster.apply.publish import PublishedArtifact, Publisher
from muster.apply.tuf_keys import TufKeys
from muster.attest.keys import new_private_key, public_half
from muster.attest.model_signature import sign_files
from muster.kinds.cohort import Selector
from muster.kinds.desired import DesiredDocument, OrderedCohort
from muster.kinds.digest import digest_of


class Controller:
    """A publisher with a key, and the artifacts that it was given."""

    def __init__(self, folder: Path, public: Path) -> None:
        self.publisher = Publisher(public, TufKeys.create(folder / "keys"))
        self._folder = folder
        self._key = new_private_key()

    def publish(self, generation: int, offered: list[Built], now: datetime) -> None:
        document = DesiredDocument(
            model="meter-reader",
            device_class="meter-a",
            generation=generation,
            commit="0" * 40,
            poll_interval="30s",
            cohorts=(OrderedCohort(name="all", selector=Selector()),),
            entries=tuple(built.entry(generation) for built in offered),
        )
        artifacts = {}
        for built in offered:
            path = self._folder / f"{built.version}.tar"
            path.write_bytes(built.data)
            signature = sign_files({name: digest_of(data) for name, data in built.files.items()}, self._key)
            artifacts[built.artifact] = PublishedArtifact(path, built.artifact, len(built.data), signature)
        self.publisher.publish(generation, [document], artifacts, [public_half(self._key)], now)

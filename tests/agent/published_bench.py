"""The agent's bench beside the controller's own publisher: static files, as any web server would hand them out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent_simulator import Bench, Built

from muster.agent.moment import Moment
from muster.apply.publish import PublishedArtifact, Publisher
from muster.apply.tuf_keys import TufKeys
from muster.attest.keys import new_private_key, public_half
from muster.attest.model_signature import sign_files
from muster.kinds.cohort import Selector
from muster.kinds.desired import DesiredDocument, OrderedCohort
from muster.kinds.digest import digest_of


class PublishedFiles(dict[str, bytes]):
    """What lies in the public folder, read when it is asked for."""

    def __init__(self, public: Path) -> None:
        super().__init__()
        self._public = public

    def get(self, path: str, default: bytes | None = None) -> bytes | None:
        file = self._public / path.removeprefix("/tuf/")
        return file.read_bytes() if file.is_file() else default


class Controller:
    """A publisher with a key, and the artifacts that it was given."""

    def __init__(self, folder: Path, public: Path | None = None) -> None:
        self._public = public or folder / "public"
        self.publisher = Publisher(self._public, TufKeys.create(folder / "keys"))
        self._folder = folder
        self._key = new_private_key()

    def restart(self) -> None:
        """Load the keys that are there now."""
        self.publisher = Publisher(self._public, TufKeys.load(self._folder / "keys"))

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


def beside(controller: Controller, folder: Path, bench: Bench) -> Bench:
    """The bench's device, set up with the controller's root and fed from what it publishes."""
    bench.folder.root.write_bytes(controller.publisher.init_root(datetime.now(UTC)))
    bench.repository.files = PublishedFiles(folder / "public")
    bench.start()
    return bench


class WrongClock(Bench):
    """Its wall clock is off by `error`; its steady clock is right, as steady clocks are."""

    error = timedelta(0)

    @property
    def now(self) -> Moment:
        right = super().now
        return right._replace(wall=right.wall + self.error)

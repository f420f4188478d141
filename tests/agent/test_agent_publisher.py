"""The agent against the controller's own publisher: static files, as any web server would hand them out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from agent_simulator import WINDOW_SECONDS, Bench, Built, build, hash_of

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

    def __init__(self, folder: Path) -> None:
        self.publisher = Publisher(folder / "public", TufKeys.create(folder / "keys"))
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


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[Controller, Bench]]:
    controller = Controller(tmp_path)
    (tmp_path / "bench").mkdir()
    bench = Bench(tmp_path / "bench")
    bench.folder.root.write_bytes(controller.publisher.init_root(datetime.now(UTC)))
    bench.repository.files = PublishedFiles(tmp_path / "public")
    bench.start()
    return controller, bench


def test_what_the_publisher_publishes_the_agent_runs(published: tuple[Controller, Bench]) -> None:
    """Promotion, a renewed signature, and the way back: each generation arrives."""
    controller, bench = published
    now = datetime.now(UTC)
    first, second = build("1.0.0"), build("1.1.0", sharpness=9)
    controller.publish(1, [first], now)
    assert bench.tick().problem is None
    bench.tick(WINDOW_SECONDS)
    controller.publish(2, [second], now)
    bench.tick()
    bench.tick(WINDOW_SECONDS)
    assert hash_of(second) == bench.running
    assert controller.publisher.refresh(now + timedelta(hours=13))
    assert bench.tick(13 * 3_600).problem is None
    controller.publish(3, [first], now + timedelta(hours=13))
    assert bench.tick().problem is None
    assert hash_of(first) == bench.running
    assert bench.state.generation == 3
    assert bench.agent.device.state.downloads == 2


def test_a_publisher_that_stopped_long_ago_is_noticed(published: tuple[Controller, Bench]) -> None:
    """Metadata of a month ago is expired; the release it named before keeps running."""
    controller, bench = published
    first = build("1.0.0")
    controller.publish(1, [first], datetime.now(UTC))
    bench.tick()
    controller.publish(2, [], datetime.now(UTC) - timedelta(days=30))
    assert bench.tick().problem == "metadata_expired"
    assert hash_of(first) == bench.running


def test_metadata_that_runs_out_while_nothing_changes_is_noticed(published: tuple[Controller, Bench]) -> None:
    """An unchanged timestamp is not good for ever: past its date everything is asked for again."""
    controller, bench = published
    controller.publish(1, [build("1.0.0")], datetime.now(UTC))
    bench.tick()
    bench.server.requests.clear()
    bench.tick()
    assert len([path for method, path in bench.server.requests if method == "GET"]) == 1
    bench.server.requests.clear()
    bench.tick(25 * 3_600)
    assert len([path for method, path in bench.server.requests if method == "GET"]) > 1

"""The agent against the controller's own publisher: static files, as any web server would hand them out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from agent_simulator import WINDOW_SECONDS, Bench, build, hash_of
from published_bench import Controller, beside


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[Controller, Bench]]:
    controller = Controller(tmp_path)
    (tmp_path / "bench").mkdir()
    return controller, beside(controller, tmp_path, Bench(tmp_path / "bench"))


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

"""Stages: a result is found again only if everything that it depends on is the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.artifacts.store import Store
from muster.build import stages
from muster.build.stages import Runner, StageCode
from muster.kinds.errors import Refused

CODE = StageCode("double", 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _double(data: dict[str, bytes]) -> bytes:
    return data["x"] * 2


def _runs(store: Store, *calls: tuple) -> list[bool]:
    runner = Runner(store, None, cached=True)
    for code, inputs, parameters in calls:
        runner.run(code, inputs, parameters, _double)
    return [outcome.cached for outcome in runner.outcomes]


def test_the_same_call_is_found_again(store: Store) -> None:
    """Also by another runner, as after a restart."""
    x = store.put(b"x")
    assert _runs(store, (CODE, {"x": x}, {}), (CODE, {"x": x}, {})) == [False, True]
    assert _runs(store, (CODE, {"x": x}, {})) == [True]


def test_whatever_changes_is_in_the_key(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code, stage, input, the input's name, parameter, tool version: each alone runs the stage again."""
    x, y = store.put(b"x"), store.put(b"y")
    calls = [
        (CODE, {"x": x}, {"bits": 8}),
        (StageCode("double", 2), {"x": x}, {"bits": 8}),
        (StageCode("twice", 1), {"x": x}, {"bits": 8}),
        (CODE, {"x": y}, {"bits": 8}),
        (CODE, {"x": x, "z": y}, {"bits": 8}),
        (CODE, {"x": x}, {"bits": 9}),
    ]
    assert _runs(store, *calls) == [False] * 6
    assert _runs(store, *calls) == [True] * 6
    newer = {**stages.tool_versions(), "numpy": "99.0.0"}
    monkeypatch.setattr(stages, "tool_versions", lambda: newer)
    assert _runs(store, *calls) == [False] * 6


def test_without_the_cache_every_stage_runs(store: Store) -> None:
    """`--verify` believes nothing that was remembered."""
    x = store.put(b"x")
    _runs(store, (CODE, {"x": x}, {}))
    runner = Runner(store, None, cached=False)
    runner.run(CODE, {"x": x}, {}, _double)
    assert not runner.outcomes[0].cached


@pytest.mark.parametrize("entry", [{}, {"output": 5}, {"output": "sha256:nonsense"}, {"output": "sha256:" + "0" * 64}])
def test_a_damaged_index_is_no_obstacle(store: Store, entry: dict) -> None:
    """Whatever the index says, the stage's true result comes out."""
    x = store.put(b"x")
    runner = Runner(store, None, cached=True)
    store.remember(runner.key(CODE, {"x": x}, {}), entry)
    assert store.get(runner.run(CODE, {"x": x}, {}, _double)) == b"xx"


def test_an_input_that_changes_under_a_stage_is_refused(store: Store) -> None:
    """Inputs are hashed before and after; nothing is remembered of such a run."""
    x = store.put(b"x")

    def treacherous(data: dict[str, bytes]) -> bytes:
        store.path(x).write_bytes(b"y")
        return _double(data)

    runner = Runner(store, None, cached=True)
    with pytest.raises(Refused, match="changed while the stage ran"):
        runner.run(CODE, {"x": x}, {}, treacherous)
    assert store.recall(runner.key(CODE, {"x": x}, {})) is None

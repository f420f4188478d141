"""Turns go round: whoever waits longest is next, and who gives up or is interrupted leaves nothing behind."""

from __future__ import annotations

import threading

import pytest

from muster.observe.turns import Turns

FOREVER = 60.0


def waiting(turns: Turns, order: list[str], name: str) -> threading.Thread:
    """A thread that waits for its turn by the time this returns."""
    before = turns.waiting

    def take() -> None:
        with turns.turn(FOREVER):
            order.append(name)

    thread = threading.Thread(target=take)
    thread.start()
    while turns.waiting == before:
        pass
    return thread


def test_who_gives_it_back_and_asks_again_is_last() -> None:
    """As the intake does, group after group, while the loop waits."""
    turns = Turns()
    order: list[str] = []
    with turns.turn(FOREVER):
        threads = [waiting(turns, order, name) for name in ("loop", "courier")]
    with turns.turn(FOREVER):
        order.append("intake")
    for thread in threads:
        thread.join()
    assert order == ["loop", "courier", "intake"]


def test_patience_ends() -> None:
    """Who gave up is passed over."""
    turns = Turns()
    with turns.turn(FOREVER):
        with pytest.raises(TimeoutError), turns.turn(0.0):
            pass
        assert turns.waiting == 0
    with turns.turn(0.0):
        pass


def test_an_error_gives_it_back() -> None:
    """Whatever is raised inside."""
    turns = Turns()
    with pytest.raises(ValueError, match="inside"), turns.turn(FOREVER):
        raise ValueError("inside")
    with turns.turn(0.0):
        pass

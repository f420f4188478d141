"""Taking times: candidates in turns, in one run, so that what disturbs the machine disturbs them alike. The same code
on a device and elsewhere.

Times are in ns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from muster.artifacts.golden import golden_difference
from muster.artifacts.inference import Float32
from muster.kinds.errors import Refused

Clock = Callable[[], int]
"""Steady, in ns."""

WARM_UP: Final = 50
NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True)
class Effort:
    """So many rounds at most, and no new round after so many seconds once `fewest` are done."""

    rounds: int = 1_000
    loads: int = 25
    fewest: int = 100
    seconds: int = 60
    processes: int = 7
    """How often the peak of memory is looked at."""


@dataclass(frozen=True)
class Times:
    """Of one candidate, round by round: opening a session, its first answer, and answers once it is warm."""

    loads: Sequence[int]
    cold: Sequence[int]
    warm: Sequence[int]


Answer = Callable[[int], None]
"""Answers one frame, by its number."""


def take_times(openers: Sequence[Callable[[], Answer]], clock: Clock, effort: Effort) -> list[Times]:
    """The times of candidates, of each of which `openers` opens a session. Raises what they raise."""
    cold: list[list[int]] = [[] for _ in openers]

    def first_of(which: int) -> Callable[[int], int]:
        def run(number: int) -> int:
            began = clock()
            answer = openers[which]()
            opened = clock()
            answer(number)
            cold[which].append(clock() - opened)
            return opened - began

        return run

    loads = in_turns(
        [first_of(which) for which in range(len(openers))], clock, Effort(effort.loads, 0, effort.loads, 0)
    )
    answers = [opened() for opened in openers]
    for number in range(WARM_UP):
        for answer in answers:
            answer(number)
    warm = in_turns([_timed(answer, clock) for answer in answers], clock, effort)
    return [Times(*one) for one in zip(loads, cold, warm, strict=True)]


def in_turns(actions: Sequence[Callable[[int], int]], clock: Clock, effort: Effort) -> list[list[int]]:
    """What each action says that it took, round by round; who comes first changes from round to round."""
    times: list[list[int]] = [[] for _ in actions]
    end = clock() + effort.seconds * NANOSECONDS
    for number in range(effort.rounds):
        if number >= effort.fewest and clock() > end:
            break
        for turn in range(len(actions)):
            which = (number + turn) % len(actions)
            times[which].append(actions[which](number))
    return times


def _timed(answer: Answer, clock: Clock) -> Callable[[int], int]:
    def run(number: int) -> int:
        began = clock()
        answer(number)
        return clock() - began

    return run


@dataclass(frozen=True)
class Soaked:
    """How long every answer held, how many frames were answered, and how many of them well."""

    held: int
    frames: int
    good: int


@dataclass(frozen=True)
class Golden:
    """Normalised inputs, and what must come of them."""

    inputs: Float32
    expected: bytes
    tolerance: Decimal


def soak(run: Callable[[Float32], Float32], golden: Golden, clock: Clock, nanoseconds: int) -> Soaked:
    """Answer the golden inputs for that long, or until an answer no longer holds."""
    began = held = clock()
    frames = good = 0
    while held - began < nanoseconds:
        try:
            difference = golden_difference(run(golden.inputs), golden.expected, golden.tolerance)
        except Refused as error:
            difference = error.message
        frames += len(golden.inputs)
        if difference is not None:
            break
        good += len(golden.inputs)
        held = clock()
    return Soaked(held - began, frames, good)

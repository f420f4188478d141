"""Without consent nothing is taken, withdrawing leaves nothing, and the bounds hold: under any order of events."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from captured import MODEL, PURPOSE, device, now, sample, taken, terms
from muster.agent.capture.consent import MOST_CONSENTS, read_consent
from muster.agent.capture.owner import choose, overview
from muster.agent.capture.queue import content_of, sweep, waiting
from muster.agent.capture.taking import HANDED_OVER, HANDED_OVER_BYTES, Taker, TakerThread
from muster.agent.capture.terms import read_terms, write_terms
from muster.agent.folder import DeviceFolder
from muster.kinds.errors import Refused, Unusable

PURPOSES = ("better-reading", "night")
MOST, SIZE = 3, 200


class Anything(RuleBasedStateMachine):
    """Offers, writes, consents, withdrawals, declarations and the passing of time, in any order."""

    @initialize()
    def begin(self) -> None:
        self.stack = contextlib.ExitStack()
        self.path = Path(self.stack.enter_context(tempfile.TemporaryDirectory())) / "device"
        self.declared = {name: terms(name, most=MOST, size=SIZE, expiry="1h") for name in PURPOSES}
        self.place = device(self.path, *self.declared.values())
        self.now = now()
        self.taker = Taker(self.place, clock=lambda: self.now, share=lambda _ppm: True)
        self.given: set[str] = set()
        self.count = 0
        self.ever: Counter[str] = Counter()

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.stack.close()

    @rule(confidence=st.sampled_from([0.1, 0.9]), elements=st.sampled_from([8, 64, 104, 208]))
    def offer(self, confidence: float, elements: int) -> None:
        self.count += 1
        handed = self.taker.offer(sample(self.count, confidence, elements=elements))
        fits = confidence < 0.6 and elements <= SIZE and bool(self.given & set(self.declared))
        assert fits == handed

    @rule()
    def write(self) -> None:
        written = self.taker.write()
        assert written == 0 or self.given

    @rule(purpose=st.sampled_from(PURPOSES))
    def consent(self, purpose: str) -> None:
        choose(DeviceFolder(self.path), purpose, given=True)
        self.given.add(purpose)

    @rule(purpose=st.sampled_from(PURPOSES))
    def withdraw(self, purpose: str) -> None:
        choose(DeviceFolder(self.path), purpose, given=False)
        self.given.discard(purpose)
        assert purpose not in {one.envelope.record.purpose for one in waiting(self.place)}
        assert len(list(self.place.contents.iterdir())) == len(waiting(self.place))

    @rule(purpose=st.sampled_from(PURPOSES), declared=st.booleans())
    def declare(self, purpose: str, declared: bool) -> None:
        self.declared.pop(purpose, None)
        if declared:
            self.declared[purpose] = terms(purpose, most=MOST, size=SIZE, expiry="1h")
        with self.place.held():
            write_terms(self.place, {MODEL: tuple(self.declared.values())})

    @rule(minutes=st.sampled_from([1, 30, 70]))
    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        with self.place.held():
            sweep(self.place, read_consent(self.place), read_terms(self.place), self.now)
        for one in waiting(self.place):
            assert self.now - one.envelope.taken_at < timedelta(hours=1)
            assert one.envelope.record.purpose in self.declared

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "place"):
            return
        found = waiting(self.place)
        assert {one.envelope.record.purpose for one in found} <= self.given
        for purpose in PURPOSES:
            mine = [one for one in found if one.envelope.record.purpose == purpose]
            assert len(mine) <= MOST
            assert sum(one.size for one in mine) <= SIZE
        assert all(content_of(one) for one in found)


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "device"


def test_the_oldest_go_first(path: Path) -> None:
    """By number, and by size."""
    place = device(path, terms(most=3, size="1KiB"))
    choose(DeviceFolder(path), PURPOSE, given=True)
    assert taken(place, *(sample(value) for value in range(5))) == 5
    assert [int.from_bytes(content_of(one)[:4], "little") for one in waiting(place)] == [2, 3, 4]
    taken(place, sample(9, elements=1_024))
    assert [int.from_bytes(content_of(one)[:4], "little") for one in waiting(place)] == [9]
    assert taken(place, sample(1, elements=1_032)) == 0, "what is larger than the queue drops nothing"
    assert len(waiting(place)) == 1


def test_what_was_handed_over_before_a_withdrawal_is_not_written_after_it(path: Path) -> None:
    """Not even if somebody consents again in between: that begins with nothing."""
    place = device(path, terms())
    folder = DeviceFolder(path)
    choose(folder, PURPOSE, given=True)
    taker = Taker(place)
    assert taker.offer(sample())
    choose(folder, PURPOSE, given=False)
    choose(folder, PURPOSE, given=True)
    assert taker.write() == 0
    assert waiting(place) == []


def test_consent_to_one_purpose_is_none_to_another(path: Path) -> None:
    """Both fit the sample; one was consented to."""
    place = device(path, terms(), terms("night"))
    choose(DeviceFolder(path), "night", given=True)
    taken(place, sample())
    assert [one.envelope.record.purpose for one in waiting(place)] == ["night"]


def test_a_share_is_drawn(path: Path) -> None:
    """What is not drawn is not taken."""
    place = device(path, terms(share="25%"))
    choose(DeviceFolder(path), PURPOSE, given=True)
    asked: list[int] = []
    taker = Taker(place, share=lambda ppm: bool(asked.append(ppm)))
    assert not taker.offer(sample())
    assert asked == [250_000]


def test_a_record_says_what_labelling_needs_and_not_who_sent_it(path: Path) -> None:
    """Locale, class, version and failure mode; the content apart; the device nowhere."""
    place = device(path, terms(), device_id="the-device-itself")
    place.settings.write_text('{"locale": "de-DE"}')
    choose(DeviceFolder(path), PURPOSE, given=True)
    taken(place, sample(7, corrected="1", failure_mode="glare"))
    (one,) = waiting(place)
    record = one.envelope.record
    assert (
        record.locale, record.device_class, record.release, record.failure_mode,
    ) == ("de-DE", "cam-day", "meter-reader/1.0.0", "glare")  # fmt: skip
    assert (record.because, record.label, record.corrected) == ("disagreement", "7", "1")
    for file in (*place.records.iterdir(), *place.contents.iterdir()):
        assert b"the-device-itself" not in file.read_bytes()
        assert file.stat().st_mode & 0o777 == 0o600
    assert content_of(one) == sample(7).frame.tobytes()


@pytest.mark.parametrize("hours", [25 * 24, -30])
def test_samples_expire_whichever_way_the_clock_is_wrong(path: Path, hours: int) -> None:
    """A clock that was put back does not make them last."""
    place = device(path, terms(expiry="1d"))
    choose(DeviceFolder(path), PURPOSE, given=True)
    taken(place, sample(), at=now())
    with place.held():
        sweep(place, read_consent(place), read_terms(place), now())
        assert len(waiting(place)) == 1
        sweep(place, read_consent(place), read_terms(place), now() + timedelta(hours=hours))
    assert [] == list(place.contents.iterdir()) == list(place.records.iterdir())


@pytest.mark.parametrize("damage", [b"", b"{", b'{"given":{"better-reading":1}', b"\xff" * 70_000])
def test_a_consent_that_cannot_be_read_is_none(path: Path, damage: bytes) -> None:
    """And what waited goes with the next sweep."""
    place = device(path, terms())
    choose(DeviceFolder(path), PURPOSE, given=True)
    taken(place, sample())
    place.consent.write_bytes(damage)
    assert taken(place, sample(2)) == 0
    with place.held():
        assert sweep(place, read_consent(place), read_terms(place), now()) == 1


def test_strange_offers_are_not_taken_and_raise_nothing(path: Path) -> None:
    """An application's mistake costs a sample, never an inference."""
    place = device(path, terms())
    choose(DeviceFolder(path), PURPOSE, given=True)
    strange = [{"label": "x" * 3_000}, {"locale": "no locale"}, {"release": "nonsense"}, {"failure_mode": "Not A Name"}]
    assert taken(place, *(sample(value, **changes) for value, changes in enumerate(strange))) == 0
    assert taken(place, sample(9, confidence=float("nan"))) == 1


def test_offers_wait_in_memory_within_bounds_and_a_thread_writes_them(path: Path) -> None:
    """An offer writes nothing itself; the newest are kept."""
    place = device(path, terms())
    choose(DeviceFolder(path), PURPOSE, given=True)
    taker = Taker(place, share=lambda _ppm: True)
    for value in range(HANDED_OVER + 4):
        taker.offer(sample(value))
    assert waiting(place) == []
    thread = TakerThread(taker)
    thread.start()
    thread.stop()
    assert list(range(4, HANDED_OVER + 4)) == [int.from_bytes(content_of(one)[:4], "little") for one in waiting(place)]


def test_large_offers_wait_in_memory_within_bytes(path: Path) -> None:
    """A small device has no room for sixteen of the largest; the newest are kept."""
    place = device(path, terms(size="64MiB"))
    choose(DeviceFolder(path), PURPOSE, given=True)
    taker = Taker(place, share=lambda _ppm: True)
    third = HANDED_OVER_BYTES // 3
    for value in range(5):
        assert taker.offer(sample(value, elements=third - third % 8))
    assert taker.write() == 3
    assert [int.from_bytes(content_of(one)[:4], "little") for one in waiting(place)] == [2, 3, 4]


def test_an_offer_waits_for_nobody(path: Path) -> None:
    """Not for who holds the place: an inference is under way."""
    place = device(path, terms())
    choose(DeviceFolder(path), PURPOSE, given=True)
    taker = Taker(place, share=lambda _ppm: True)
    offered: list[bool] = []
    inference = threading.Thread(target=lambda: offered.append(taker.offer(sample())), daemon=True)
    with place.held():
        inference.start()
        inference.join(timeout=20)
        assert offered == [True]
    assert taker.write() == 1


def test_who_decides_sees_what_for(path: Path) -> None:
    """The statement, what waits, and what the server has yet to erase; names that are none are refused."""
    place = device(path, terms())
    folder = DeviceFolder(path)
    choose(folder, PURPOSE, given=True)
    taken(place, sample())
    (row,) = overview(folder)
    assert tuple(row.values())[:5] == (PURPOSE, MODEL, True, 1, False)
    assert "help to read them better" in row["statement"]
    choose(folder, PURPOSE, given=False)
    assert tuple(overview(folder)[0].values())[2:5] == (False, 0, True)
    with pytest.raises(Unusable, match="no purpose"):
        choose(folder, "../x", given=True)
    for number in range(MOST_CONSENTS):
        choose(folder, f"p{number}", given=True)
    with pytest.raises(Refused, match="consented"):
        choose(folder, "one-more", given=True)

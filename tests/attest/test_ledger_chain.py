"""A ledger in git: whatever is done to it is found, each thing by its name."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.attest.keys import key_id, new_private_key, public_half
from muster.attest.ledger.chain import GRACE, REASONS, Anchor, Pushed, Trust, Verified, checkpoint_flaws, verify_pushed
from muster.attest.ledger.checkpoint import open_checkpoint, sign_checkpoint
from muster.attest.ledger.segment import GENESIS, LARGEST, MOST_ROWS, cut, read_segment
from muster.kinds.canonical import canonical_json
from muster.kinds.digest import digest_of_value
from muster.kinds.errors import Refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY, OTHER = new_private_key(), new_private_key()
TRUSTED = {key_id(public_half(KEY)): public_half(KEY)}
TRUST = Trust(TRUSTED, TRUSTED)
SIZES = (3, 1, 4)
"""Events that came with each checkpoint."""


def chain(count: int, previous: str = GENESIS, first: int = 1, word: str = "a") -> list[dict[str, Any]]:
    """Rows as the ledger makes them."""
    rows = []
    for number in range(first, first + count):
        row: dict[str, Any] = {"sequence": number, "at": NOW.isoformat(), "event": "lifted", "key": f"{word}{number}"}
        row |= {"body": {"release": f"reader/{number}.0.0", "reason": word}, "previous": previous}
        previous = digest_of_value(row)
        rows.append({**row, "digest": previous})
    return rows


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(canonical_json(row) + b"\n" for row in rows)


def push(*groups: list[dict[str, Any]], key: bytes = KEY) -> Pushed:
    """Segments with their checkpoints, as the controller pushes them."""
    segments, files, before = [], [], None
    for rows in groups:
        segment = lines(rows)
        file = sign_checkpoint(before, segment, (rows[-1]["sequence"], rows[-1]["digest"]), NOW, key)
        before = open_checkpoint(file, {key_id(public_half(key)): public_half(key)})
        segments.append(segment)
        files.append(file)
    return Pushed(files[-1], tuple(files), tuple(segments))


def groups() -> list[list[dict[str, Any]]]:
    rows = chain(sum(SIZES))
    ends = [sum(SIZES[: index + 1]) for index in range(len(SIZES))]
    return [rows[end - size : end] for end, size in zip(ends, SIZES, strict=True)]


GOOD = push(*groups())
HEADS = [rows[-1]["digest"] for rows in groups()]


def verify(pushed: Pushed, *anchors: Anchor, trust: Trust = TRUST, now: datetime = NOW) -> Verified:
    return verify_pushed(pushed, trust, anchors, now)


def reasons(pushed: Pushed, *anchors: Anchor, trust: Trust = TRUST, now: datetime = NOW) -> set[str]:
    found = {flaw.reason for flaw in verify(pushed, *anchors, trust=trust, now=now).flaws}
    assert found <= set(REASONS)
    return found


def with_segment(number: int, data: bytes | None) -> Pushed:
    segments = list(GOOD.segments)
    segments[number - 1] = data
    return replace(GOOD, segments=tuple(segments))


def with_checkpoint(number: int, data: bytes | None) -> Pushed:
    files = list(GOOD.checkpoints)
    files[number - 1] = data
    return replace(GOOD, checkpoints=tuple(files), newest=files[-1] or GOOD.newest)


def test_a_good_ledger_has_no_flaw() -> None:
    """All events and checkpoints are there, and anchors that it holds."""
    found = verify(GOOD, *(Anchor(head, "a commit") for head in HEADS))
    assert found.flaws == ()
    assert [row.sequence for row in found.rows] == list(range(1, 9))
    assert [one.length for one in found.checkpoints] == [3, 4, 8]
    assert found.until == NOW


@given(st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    """One byte of one segment or one checkpoint, anywhere, to any other."""
    kind = data.draw(st.sampled_from(["segments", "checkpoints"]))
    number = data.draw(st.integers(1, len(SIZES)))
    before = getattr(GOOD, kind)[number - 1]
    place = data.draw(st.integers(0, len(before) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != before[place]))
    changed = before[:place] + bytes([other]) + before[place + 1 :]
    assert reasons(with_segment(number, changed) if kind == "segments" else with_checkpoint(number, changed))


@given(st.integers(1, 3), st.integers(0, 3), st.sampled_from(["event", "key", "at", "body"]))
def test_an_altered_event_is_found_by_name(number: int, index: int, field: str) -> None:
    """What an event says is another, though its digest still fits the chain."""
    rows = [dict(row) for row in groups()[number - 1]]
    row = rows[index % len(rows)]
    row[field] = {"release": "reader/9.9.9", "reason": "b"} if field == "body" else "2020"
    assert {"EventAltered", "SegmentAltered"} == reasons(with_segment(number, lines(rows)))


def test_an_event_put_in_the_place_of_another_is_found_by_name() -> None:
    """Its own digest is right, and the next event does not follow from it."""
    rows = groups()[0]
    other = chain(1, rows[0]["digest"], 2, "b")
    assert "EventReplaced" in reasons(with_segment(1, lines([rows[0], *other, rows[2]])))


@given(st.permutations(range(4)).filter(lambda order: order != [0, 1, 2, 3]))
def test_another_order_is_found_by_name(order: list[int]) -> None:
    """The same events in another order, as they are and with their numbers made to fit."""
    rows = groups()[2]
    moved = [rows[index] for index in order]
    assert "EventsReordered" in reasons(with_segment(3, lines(moved)))
    renumbered = [{**row, "sequence": 5 + place} for place, row in enumerate(moved)]
    assert "EventsReordered" in reasons(with_segment(3, lines(renumbered)))


@given(st.integers(0, 2))
def test_a_missing_event_is_found_by_name(index: int) -> None:
    """Later events are there."""
    rows = groups()[2]
    assert "EventMissing" in reasons(with_segment(3, lines(rows[:index] + rows[index + 1 :])))


@given(st.integers(1, 3))
def test_a_cut_tail_is_found_by_name(left: int) -> None:
    """The last events are gone, and the checkpoint still tells of them."""
    assert "LedgerTruncated" in reasons(with_segment(3, lines(groups()[2][:left])))


def test_a_ledger_that_went_back_is_found_by_what_commits_and_people_remember() -> None:
    """A whole checkpoint is gone with its segment: what remains is good in itself, and a trailer names what is gone."""
    shorter = push(*groups()[:2])
    assert reasons(shorter) == set()
    assert reasons(shorter, Anchor(HEADS[2], "what an auditor wrote down")) == {"LedgerTruncated"}
    trailer = Anchor(HEADS[2], "commit 1234", NOW)
    assert reasons(shorter, trailer, now=NOW + GRACE - timedelta(seconds=1)) == set()
    assert reasons(shorter, trailer, now=NOW + GRACE) == {"LedgerTruncated"}
    assert reasons(shorter, replace(trailer, at=NOW - timedelta(seconds=1))) == {"LedgerTruncated"}


def test_a_fork_of_the_checkpoints_is_found_by_name() -> None:
    """A checkpoint of another history, signed by the right key, in the place of one of ours; and all from there on."""
    forked = push(*groups()[:1], chain(1, HEADS[0], 4, "b"), chain(4, HEADS[1], 5, "b"))
    for number in (2, 3):
        assert "CheckpointForked" in reasons(with_checkpoint(number, forked.checkpoints[number - 1]))
    assert reasons(replace(forked, checkpoints=GOOD.checkpoints, newest=GOOD.newest)) >= {"CheckpointForked"}
    assert reasons(replace(GOOD, newest=GOOD.checkpoints[0])) == {"CheckpointForked"}
    assert "CheckpointForked" in reasons(with_checkpoint(2, GOOD.checkpoints[0]))


def test_a_rewritten_history_is_found_by_who_remembers() -> None:
    """Even with the key: every digest changes, so that no commit's trailer is held any more."""
    assert reasons(push(chain(8, word="b")), Anchor(HEADS[0], "commit 1234", NOW - GRACE)) == {"LedgerTruncated"}


def test_a_checkpoint_by_another_key_is_found_by_name() -> None:
    """Signed by a key that is not declared; or that was declared once, where it is the newest."""
    theirs = push(*groups(), key=OTHER)
    assert reasons(theirs) == {"CheckpointByAnotherKey"}
    before = {key_id(public_half(OTHER)): public_half(OTHER)}
    assert reasons(theirs, trust=Trust(TRUSTED, {**TRUSTED, **before})) == {"CheckpointByAnotherKey"}
    assert reasons(theirs, trust=Trust(before, before)) == set()


def test_a_checkpoint_has_one_spelling() -> None:
    """The last one too, which no other names by its digest."""
    for other in (GOOD.newest + b"\n", GOOD.newest.replace(b":", b": ", 1), GOOD.newest[:-1] + b" "):
        assert reasons(with_checkpoint(3, other)) == {"CheckpointBroken"}


def test_missing_files_are_found_by_name() -> None:
    """A segment or a checkpoint in the middle that is not there."""
    assert "SegmentAltered" in reasons(with_segment(2, None))
    assert "CheckpointBroken" in reasons(with_checkpoint(2, None))
    assert "CheckpointBroken" in reasons(with_checkpoint(2, b"{}"))


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_nonsense_is_told_and_never_raised(data: bytes) -> None:
    """Whatever stands in the place of a segment or a checkpoint."""
    assert reasons(with_segment(1, data + b"\n"))
    assert reasons(with_checkpoint(1, data))


def test_what_is_too_large_is_not_read() -> None:
    """A segment has bounds."""
    with pytest.raises(Refused, match="more than"):
        read_segment(b"x" * (LARGEST + 1))
    with pytest.raises(Refused, match="rows"):
        read_segment(b"{}\n" * (MOST_ROWS + 1))


@given(st.integers(0, 25), st.integers(1, 400_000))
def test_rows_are_cut_into_segments_that_are_read_back(count: int, size: int) -> None:
    """In order, none lost, none above the bound unless it is one row alone."""
    rows = [{**row, "body": {"reason": "x" * size}} for row in chain(count)]
    found = list(cut(rows))
    assert [row.sequence for data, _, _ in found for row in read_segment(data)] == [row["sequence"] for row in rows]
    assert [last for _, last, _ in found] == [read_segment(data)[-1].sequence for data, _, _ in found]


def test_a_state_folder_is_held_against_what_was_pushed() -> None:
    """The rows of a state folder that was cut, or rewritten as a whole, beside the checkpoints that git has."""
    checkpoints = verify(GOOD).checkpoints
    rows = verify(GOOD).rows
    assert list(checkpoint_flaws(rows, checkpoints)) == []
    assert {flaw.reason for flaw in checkpoint_flaws(rows[:5], checkpoints)} == {"LedgerTruncated"}
    other = read_segment(lines(chain(8, word="b")))
    assert {flaw.reason for flaw in checkpoint_flaws(other, checkpoints)} == {"CheckpointForked"}

"""yaml_events.py: what is read, what is refused and where, and that nothing else ever comes out."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.source import yaml_events
from muster.source.yaml_events import MAX_BYTES, Document, YamlFault, parse


def test_plain_scalars_follow_the_narrow_core_schema():
    """Only null, true, false, decimal integers and floats are more than text; quotes make anything text."""
    text = b"""\
null: []
"""
    with pytest.raises(YamlFault):
        parse(text)
    items = {
        "~": None, "null": None, "": None, "true": True, "FALSE": False, "0": 0, "-12": -12, "+3": 3,
        "1.5": 1.5, ".5": 0.5, "1.": 1.0, "1e3": 1000.0, "-.inf": float("-inf"),
        "yes": "yes", "on": "on", "no": "no", "1_000": "1_000", "12:30": "12:30", "0o17": "0o17", "0x1f": "0x1f",
        "007": "007", "00.5": 0.5, "2026-01-01": "2026-01-01", "5%": "5%", "1.2.0": "1.2.0", "9" * 19: float("9" * 19),
        "'1'": "1", '"true"': "true", "'~'": "~", "=": "=",
    }  # fmt: skip
    read = parse("\n".join(f"- {written}" for written in items).encode()).data
    assert read == list(items.values())
    assert [type(value) for value in read] == [type(value) for value in items.values()]


def test_every_part_has_its_place():
    """Keys, values and items stand where an editor shows them; characters count, not bytes."""
    document = parse("a:\n  - {é: 1, b: two}  # note\n  - [3]\nc: 'x'\n".encode())
    assert document.data == {"a": [{"é": 1, "b": "two"}, [3]], "c": "x"}
    assert document.keys[("a", 0, "b")] == (2, 12)
    assert document.values[("a", 0, "b")] == (2, 15)
    assert document.values[("a", 1, 0)] == (3, 6)
    assert document.spot(("a", 0, "missing")) == (2, 5)
    assert document.spot(("c", "deep", 0)) == (4, 1)
    assert document.written(("a", 0, "b")) == "two"


DEEP = 10_000
HOSTILE = {
    "empty": (b"", (1, 1), "empty"),
    "comment only": (b"# nothing\n", (1, 1), "empty"),
    "duplicate key": (b"a: 1\nb:\n  c: 1\n  c: 2\n", (4, 3), "duplicate-key"),
    "duplicate key in flow": (b"a: {b: 1, b: 2}\n", (1, 11), "duplicate-key"),
    "duplicate key in other quotes": (b"a: 1\n'a': 2\n", (2, 1), "duplicate-key"),
    "anchor": (b"a: &x 1\n", (1, 4), "alias"),
    "anchor on a mapping": (b"a: &x {b: 1}\n", (1, 4), "alias"),
    "alias": (b"a: 1\nb: *a\n", (2, 4), "alias"),
    "alias as key": (b"*a : 1\n", (1, 1), "alias"),
    "merge key": (b"a:\n  <<: {b: 1}\n", (2, 3), "alias"),
    "long anchor": (b"a: &" + b"x" * 500_000 + b" 1\n", (1, 4), "alias"),
    "long duplicate key": ((b"a" * 1_000 + b": 1\n") * 2, (2, 1), "duplicate-key"),
    "escaped surrogate": (b'a: "\\ud800"\n', (1, 7), "syntax"),
    "billion laughs": (
        b"a: &a [l, l]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 120)),
        (1, 4),
        "alias",
    ),
    "python tag": (b"a: !!python/object/apply:os.system [id]\n", (1, 4), "tag"),
    "own tag": (b"a: !secret x\n", (1, 4), "tag"),
    "string tag": (b"a: !!str 1\n", (1, 4), "tag"),
    "bang": (b"a: ! 1\n", (1, 4), "tag"),
    "tag directive": (b"%TAG ! tag:x,2000:\n---\na: 1\n", (1, 1), "directive"),
    "version 1.1": (b"%YAML 1.1\n---\na: 1\n", (1, 1), "directive"),
    "second document": (b"a: 1\n---\nb: 2\n", (2, 1), "documents"),
    "number as key": (b"a: 1\n2: x\n", (2, 1), "key"),
    "true as key": (b"true: x\n", (1, 1), "key"),
    "nothing as key": (b"? \n: x\n", (1, 2), "key"),
    "list as key": (b"[a]: x\n", (1, 1), "key"),
    "mapping as key": (b"? {a: 1}\n: x\n", (1, 3), "key"),
    "deep flow": (b"a: " + b"[" * DEEP, (1, 35), "too-deep"),
    "deep flow mapping": (b"{a: " * DEEP, (1, 129), "too-deep"),
    "deep block": (b"- " * DEEP, (1, 65), "too-deep"),
    "deep question marks": (b"? " * DEEP, (1, 3), "key"),
    "too many values": (b"a: [" + b"1," * 120_000 + b"]", None, "too-large"),
    "over 1 MiB": (b"a: " + b"x" * MAX_BYTES, (0, 0), "too-large"),
    "not UTF-8": (b"a: 1\nb: caf\xe9\n", (2, 7), "encoding"),
    "UTF-16": ("a: 1".encode("utf-16"), (1, 1), "encoding"),
    "surrogate": (b"a: \xed\xa0\x80\n", (1, 4), "encoding"),
    "NUL": (b"a: 1\nb: \x00\n", (2, 4), "hidden-character"),
    "escape": (b"a: \x1b[31m\n", (1, 4), "hidden-character"),
    "direction override": ("a: b\u202ec\n".encode(), (1, 5), "hidden-character"),
    "line separator": ("a: b\u2028c\n".encode(), (1, 5), "hidden-character"),
    "lone carriage return": (b"a: 1\rb: 2\n", (1, 5), "hidden-character"),
    "escaped NUL": (b'a: "x\\0"\n', (1, 4), "hidden-character"),
    "escaped key": (b'"\\e": 1\n', (1, 1), "hidden-character"),
    "tab indentation": (b"a:\n\tb: 1\n", (2, 1), "syntax"),
    "unclosed list": (b"a: [1\n", (2, 1), "syntax"),
    "unclosed quote": (b'a: "x\n', (2, 1), "syntax"),
    "colon in plain text": (b"a: one: two\n", (1, 7), "syntax"),
    "unknown escape": (b'a: "\\q"\n', (1, 5), "syntax"),
}


@pytest.mark.parametrize(("data", "spot", "rule"), HOSTILE.values(), ids=HOSTILE.keys())
def test_refused(data, spot, rule):
    """Each is refused under its rule, at its place, with a way out, within a second."""
    began = time.process_time()
    with pytest.raises(YamlFault) as fault:
        parse(data)
    assert time.process_time() - began < 1
    assert fault.value.rule == rule
    assert spot is None or fault.value.spot == spot
    assert fault.value.hint
    assert len(fault.value.message) <= 300


def test_byte_order_mark_and_windows_lines():
    """What editors on other systems write is read."""
    assert parse(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n").data == {"a": 1, "b": 2}
    assert parse(b"%YAML 1.2\n---\na: 1\n...\n").data == {"a": 1}


def _parses_or_faults(data: bytes) -> None:
    outcome = _outcome(data)
    if isinstance(outcome, Document):
        assert set(outcome.keys) <= set(outcome.values)
        return
    assert min(outcome.spot) >= 0
    assert outcome.hint
    assert len(outcome.message) < 1_000


def _outcome(data: bytes) -> Document | YamlFault:
    try:
        return parse(data)
    except YamlFault as fault:
        return fault


HINTS = {
    b"kind: a: b\n": "put the text in quotes if it holds a colon",
    b"a: 1\n  b: 2\n": "indent like the line above",
    b"a:\n\tb: 1\n": "indent with spaces",
    b"a:\n  b: 1\n\tc: 2\n": "indent with spaces",
    b"a: @x\n": "text that begins with @",
    b"a:\n  b: 1\n c: 2\n": "indent all keys of one level alike",
    b"a: 'it's'\n": "let nothing follow a closing quote",
    b"a: 1\nb\nc: 2\n": "with a space after the colon",
    b"a: - b\n": "put the list on the lines below",
    b"- a\nb: 1\n": "begin every item of the list with a hyphen",
    b"a: [1\n": "close the list with ]",
    b"a: {b: 1\n": "close the fields with }",
    b'a: "x\n': "close the text with the quote it began with",
    b'a: "\\q"\n': "write a backslash twice",
    b'a: "\\ud800"\n': "write the character itself",
    b"a: , b\n": "a sign that YAML reserves",
    b"a: *\n": "a sign that YAML reserves",
    b"a: |x\n b\n": "begin the text on the line below",
}


@pytest.mark.parametrize(("text", "hint"), HINTS.items(), ids=HINTS.values())
def test_what_would_be_right(text, hint):
    """Each kind of broken syntax gets the way out that fits it."""
    with pytest.raises(YamlFault) as fault:
        parse(text)
    assert (fault.value.rule, hint in fault.value.hint) == ("syntax", True), fault.value.hint


def test_every_syntax_hint_is_reached(monkeypatch):
    """No hint of the table is for nothing, with libyaml and with PyYAML's own parser."""
    reached = set()
    for loader in (yaml_events.yaml.CSafeLoader, yaml_events.yaml.SafeLoader):
        monkeypatch.setattr(yaml_events, "_LOADER", loader)
        for text in HINTS:
            try:
                parse(text)
            except YamlFault as fault:
                reached.add(fault.hint)
    assert reached >= set(yaml_events._SYNTAX_HINTS.values())


@given(st.binary(max_size=300))
def test_random_bytes(data):
    """Bytes are read, or refused with a place; nothing else comes out."""
    _parses_or_faults(data)


@given(st.text(alphabet="ab:-?[]{}&*!|>'\"%@#,~<1.\n\t \\x0", max_size=60))
def test_random_syntax(text):
    """Texts of YAML's own characters reach every corner of the parser; none raises anything else."""
    _parses_or_faults(text.encode())

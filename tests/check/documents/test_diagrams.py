"""Diagrams: the declared subset of Mermaid is read, everything else is a finding, and nothing takes long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.check.documents.diagram import BOUNDS, drawn, read_diagram
from muster.check.documents.readable import MOST_FINDINGS
from small_documents import DIAGRAM, SEQUENCE

PATH = "docs/diagrams/x.mmd"
START = "flowchart TB\n"
SPEAKERS = "sequenceDiagram\nparticipant a\nparticipant b\na->>b: x\n"


def complaints(text: str) -> list[tuple[int, str]]:
    """Line and rule of each."""
    return [(finding.place.line, finding.rule) for finding in read_diagram(PATH, text).findings]


def test_boxes_of_a_flowchart() -> None:
    """Each box stands once, with its label, its first line and the subgraph around it."""
    diagram = read_diagram(PATH, DIAGRAM)
    assert diagram.findings == ()
    assert [(box.id, box.label, box.line, box.boundary) for box in diagram.boxes] == [
        ("lamp", "Lamp", 4, "room"),
        ("plug", "Plug", 5, "room"),
    ]
    assert [(boundary.id, boundary.label, boundary.line) for boundary in diagram.boundaries] == [("room", "Room", 3)]
    assert diagram.links == 1


def test_boxes_of_a_sequence() -> None:
    """Participants and actors are boxes, messages are links."""
    diagram = read_diagram(PATH, SEQUENCE)
    assert diagram.findings == ()
    assert [(box.id, box.label, box.line) for box in diagram.boxes] == [("lamp", "Lamp", 3), ("plug", "Plug", 4)]
    assert diagram.links == 2


@pytest.mark.parametrize(
    "shape", ['["X y"]', '("X y")', '(["X y"])', '[("X y")]', '{"X y"}', '{{"X y"}}', '(("X<br>y"))']
)
def test_every_shape_has_its_label(shape: str) -> None:
    """The label is what a reader sees, whatever is drawn around it."""
    (first, second) = read_diagram(PATH, f"{START}a{shape} --> b").boxes
    assert (first.label, second.label) == ("X y", "")


@pytest.mark.parametrize("link", ["-->", "---", "-.->", "==>", "<-->", '-->|"says, what"|'])
def test_every_link_links(link: str) -> None:
    """Chains and groups are as many links as arrows are written."""
    diagram = read_diagram(PATH, f"{START}a {link} b & c{link}d")
    assert ([box.id for box in diagram.boxes], diagram.links, diagram.findings) == (["a", "b", "c", "d"], 2, ())


NOT_READ = [
    pytest.param("", 1, id="nothing"),
    pytest.param("%% only a comment\n", 1, id="only a comment"),
    pytest.param("graph TB\na --> b", 1, id="another kind"),
    pytest.param("---\ntitle: x\n---\nflowchart TB\na --> b", 1, id="front matter"),
    pytest.param("%%{init: {'securityLevel': 'loose'}}%%\nflowchart TB\na --> b", 1, id="directive first"),
    pytest.param(START + "%%{init: {}}%%\na --> b", 2, id="directive later"),
    pytest.param(START + 'click a "javascript:alert(1)"\na --> b', 2, id="click"),
    pytest.param(START + "a --> b\nstyle a fill:#fff", 3, id="style"),
    pytest.param(START + "a --> b\nclassDef x fill:#fff", 3, id="class"),
    pytest.param(START + "a[unquoted] --> b", 2, id="label without quotes"),
    pytest.param(START + 'a["x") --> b', 2, id="shape that closes otherwise"),
    pytest.param(START + 'a["<img src=x onerror=alert(1)>"] --> b', 2, id="HTML in a label"),
    pytest.param(START + 'a["x&#35;#quot;"] --> b', 2, id="entity in a label"),
    pytest.param(START + 'a["`**x**`"] --> b', 2, id="Markdown in a label"),
    pytest.param(START + "a --> b; c --> d", 2, id="two statements in a line"),
    pytest.param(START + "a -->", 2, id="link to nothing"),
    pytest.param(START + "a b", 2, id="two boxes without a link"),
    pytest.param(START + "end --> b", 2, id="a word of Mermaid's own"),
    pytest.param(START + 'subgraph x["X"]\nsubgraph y["Y"]\na --> b\nend\nend', 3, id="nested subgraphs"),
    pytest.param(START + 'subgraph x["X"]\na --> b', 2, id="subgraph without end"),
    pytest.param(START + "a --> b\nend", 3, id="end of nothing"),
    pytest.param(START + 'a["one"] --> b\na["two"] --> b', 3, id="two labels"),
    pytest.param(START + 'a["only a box"]', 1, id="no link"),
    pytest.param("sequenceDiagram\nparticipant a\na->>b: x", 3, id="not declared"),
    pytest.param(SPEAKERS + "participant a", 5, id="declared twice"),
    pytest.param(SPEAKERS + "a->>b", 5, id="message without text"),
    pytest.param(SPEAKERS + "links a: {}", 5, id="links"),
    pytest.param(SPEAKERS + "loop x", 5, id="loop without end"),
    pytest.param(SPEAKERS + "opt x\nelse y\nend", 6, id="else outside of alt"),
    pytest.param(SPEAKERS + "a->>b: <script>", 5, id="HTML in a message"),
    pytest.param(SPEAKERS + "participant c as <b>C</b>", 5, id="HTML in a participant"),
]


@pytest.mark.parametrize(("text", "line"), NOT_READ)
def test_what_is_not_in_the_subset_is_a_finding(text: str, line: int) -> None:
    """Nothing is guessed or passed over: each has a finding in its line."""
    assert (line, "diagram") in complaints(text)


HIDDEN = [
    pytest.param("\u202e", id="direction override"),
    pytest.param("\u200b", id="zero-width space"),
    pytest.param("\u00ad", id="soft hyphen"),
    pytest.param("\x1b", id="escape"),
    pytest.param("\x00", id="null"),
    pytest.param("\U000e0041", id="tag"),
    pytest.param("\ufeff", id="byte-order mark"),
    pytest.param("\ud800", id="lone surrogate"),
]


@pytest.mark.parametrize("character", HIDDEN)
def test_hidden_characters_are_named(character: str) -> None:
    """What does not show is refused with its number and its place, and never repeated."""
    (finding,) = read_diagram(PATH, f'{START}a["x{character}y"] --> b').findings
    assert (finding.place.line, finding.place.column, finding.rule) == (2, 5, "hidden-character")
    assert f"U+{ord(character):04X}" in finding.message
    assert character not in str(finding)


@pytest.mark.parametrize("letter", ["\u0430", "\u03bf", "\uff41", "\U0001d41a", "\u0661"])
def test_look_alikes_are_named(letter: str) -> None:
    """A Cyrillic, Greek, full-width, mathematical or Arabic sign in a label is a finding; in a name, nothing at all."""
    assert (2, "look-alike") in complaints(f'{START}a["{letter}gent"] --> b')
    assert (2, "diagram") in complaints(f"{START}{letter}gent --> b")


def test_latin_letters_with_accents_are_read() -> None:
    """People's own languages are not look-alikes."""
    assert complaints(f'{START}a["Größe – çà → ok"] --> b') == []


TOO_LARGE = [
    pytest.param("a" * 1_000_000, id="one line of a megabyte"),
    pytest.param(START + "a --> b\n" * 5_000, id="many lines"),
    pytest.param(START + "a" + " --> b" * 5_000, id="a long chain"),
    pytest.param(START + 'subgraph x["X"]\n' * 4_000, id="deep nesting"),
]


@pytest.mark.parametrize("text", TOO_LARGE)
def test_too_large_is_one_finding(text: str) -> None:
    """What is past the bounds is not looked at."""
    (finding,) = read_diagram(PATH, text).findings
    assert finding.rule == "too-large"


def test_findings_are_bounded() -> None:
    """A file that is wrong everywhere says so in a few findings."""
    assert len(read_diagram(PATH, START + "?\n" * 900).findings) == MOST_FINDINGS
    deep = SPEAKERS + "loop x\n" * 200
    assert len(read_diagram(PATH, deep).findings) == MOST_FINDINGS


def test_drawn_knows_no_white_space() -> None:
    """Two texts that show the same are equal; a box more is not."""
    moved = "\n\n" + DIAGRAM.replace("    ", "\t ").replace("%% Two boxes.", "%% Other words.") + "\n"
    assert drawn(moved) == drawn(DIAGRAM)
    assert drawn(DIAGRAM + "lamp --> plug\n") != drawn(DIAGRAM)
    assert drawn("%% nothing\n\n") == ()


PIECES = st.sampled_from([
    "flowchart TB", "sequenceDiagram", "\n", 'subgraph x["X"]', "end", "a", "b", "-->", "->>", ":", "|", '"', "[(",
    ")]", "&", "participant ", "alt ", "else", "%%", "%%{", "\u202e", "<br>", "#", ";", " ", "{{", "\ud800",
])  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=60).map("".join) | st.text(max_size=300))
def test_no_text_raises(text: str) -> None:
    """Whatever stands there, the answer is a diagram with findings that a terminal can show."""
    for start in ("", START, "sequenceDiagram\n"):
        diagram = read_diagram(PATH, start + text)
        assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", box.id) for box in diagram.boxes)
        for finding in diagram.findings:
            assert (finding.message + finding.hint).isprintable()
        assert len(drawn(text)) <= BOUNDS.characters

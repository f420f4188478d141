"""What a diagram shows, while and after it is read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from muster.check.documents.readable import foreign_letter, named
from muster.kinds.finding import Finding, Place

BOX = r"[A-Za-z][A-Za-z0-9_]{0,62}"
"""How a box is called; what Mermaid allows beyond it, readers take for something else."""

RESERVED = frozenset(
    [
        "end",
        "graph",
        "flowchart",
        "subgraph",
        "direction",
        "class",
        "classdef",
        "click",
        "style",
        "linkstyle",
        "default",
        "participant",
        "actor",
        "note",
    ]
)
"""Words that Mermaid takes for its own, whatever their case."""

_BREAK = re.compile(r"<br ?/?>")
# Markup of HTML and Markdown, Mermaid's own entities (#35;) and its end of a statement.
_MARKUP = frozenset("<>`\\#;")


@dataclass(frozen=True)
class Box:
    """A box or a participant. `label` is "" where the diagram gives it none; `boundary` is the subgraph around it."""

    id: str
    label: str
    line: int
    boundary: str | None = None


@dataclass(frozen=True)
class Diagram:
    """`boxes` holds each box once, at its first line, with the label that it has somewhere.

    `boundaries` are subgraphs: boxes of their own kind. `links` is the number of arrows.
    """

    boxes: tuple[Box, ...] = ()
    boundaries: tuple[Box, ...] = ()
    links: int = 0
    findings: tuple[Finding, ...] = ()


class Sketch:
    """What was read so far. The readers of lines write into it."""

    def __init__(self, path: str) -> None:
        self.boxes: dict[str, Box] = {}
        self.boundaries: dict[str, Box] = {}
        self.links = 0
        self.findings: list[Finding] = []
        self._path = path

    def complain(self, line: int, message: str, hint: str, rule: str = "diagram") -> None:
        """Add a finding about a line."""
        self.findings.append(Finding(Place(self._path, line, 1), rule, message, hint))

    def box(self, line: int, name: str, label: str, boundary: str | None = None) -> None:
        """A box stands here, perhaps again."""
        text = self.text(line, label)
        if name.lower() in RESERVED:
            self.complain(line, f"{name} is a word of Mermaid's own", "call the box something else")
        known = self.boxes.setdefault(name, Box(name, text, line, boundary))
        if text and known.label and text != known.label:
            message = f'the box {name} is called "{known.label}" in line {known.line}'
            self.complain(line, message, "give a box one label")
        if boundary and known.boundary and boundary != known.boundary:
            self.complain(line, f"the box {name} stands in {known.boundary}, too", "draw it inside one boundary")
        self.boxes[name] = Box(name, known.label or text, known.line, known.boundary or boundary)

    def boundary(self, line: int, name: str, label: str) -> None:
        """A subgraph begins here."""
        if name in self.boundaries:
            self.complain(line, f"the subgraph {name} begins here again", "draw a boundary once")
        self.boundaries[name] = Box(name, self.text(line, label), line)

    def text(self, line: int, text: str) -> str:
        """The text as a reader sees it, complained of if it may show as something else."""
        plain = _BREAK.sub(" ", text)
        if not _MARKUP.isdisjoint(plain):
            self.complain(
                line, "the text holds markup", 'write plain text, without < > ` \\ # ;; "<br>" is the only tag'
            )
        foreign = foreign_letter(plain)
        if foreign is not None:
            self.complain(line, f"the letter {named(foreign)} is not a Latin one", "write Latin letters", "look-alike")
        return " ".join(plain.split())

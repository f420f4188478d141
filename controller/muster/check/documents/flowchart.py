"""Flowcharts, as far as diagrams use them.

id  id["label"]  id("label")  id(["label"])  id[("label")]  id{"label"}  id{{"label"}}  id(("label"))  id[["label"]]
a --> b   a <--> b   a --- b   a -.-> b   a ==> b   a -->|"text"| b   a & b --> c --> d
subgraph id["label"] … end        one level
direction LR
"""

from __future__ import annotations

import re

from muster.check.documents.sketch import BOX, Sketch

_SHAPES = {"[": "]", "(": ")", "{": "}", "([": "])", "[(": ")]", "[[": "]]", "((": "))", "{{": "}}"}
_NODE = re.compile(rf'({BOX})(?:([\[({{]{{1,2}})"([^"]*)"([\])}}]{{1,2}}))?')
_LINK = re.compile(r'(?:<-->|-->|---|-\.->|==>)(?:\|"([^"|]*)"\|)?')
_SUBGRAPH = re.compile(rf'subgraph ({BOX}) ?\["([^"]*)"\]')
_DIRECTION = re.compile(r"direction (?:TB|TD|BT|LR|RL)")
_SUBSET = 'write boxes as id["label"] and links as a -->|"text"| b; no styles, classes, clicks or other statements'


def read_flowchart(sketch: Sketch, lines: list[tuple[int, str]]) -> None:
    """Read every line after the first."""
    boundary: str | None = None
    opened = 0
    for number, line in lines:
        subgraph = _SUBGRAPH.fullmatch(line)
        if subgraph is not None:
            if boundary is not None:
                sketch.complain(number, "a subgraph inside a subgraph", "draw trust boundaries beside each other")
            boundary, opened = subgraph[1], number
            sketch.boundary(number, subgraph[1], subgraph[2])
        elif line == "end":
            if boundary is None:
                sketch.complain(number, "nothing is open that could end", "delete this line")
            boundary = None
        elif not _DIRECTION.fullmatch(line):
            _statement(sketch, number, line, boundary)
    if boundary is not None:
        sketch.complain(opened, f"the subgraph {boundary} does not end", "close it with `end`")


def _statement(sketch: Sketch, number: int, line: str, boundary: str | None) -> None:
    """A chain of boxes: box (& box)* (link box (& box)*)*."""
    at = 0
    while True:
        node = _NODE.match(line, at)
        if node is None or (node[2] and _SHAPES.get(node[2]) != node[4]):
            sketch.complain(number, "not a statement that Muster reads", _SUBSET)
            return
        sketch.box(number, node[1], node[3] or "", boundary)
        at = _past_spaces(line, node.end())
        if at == len(line):
            return
        if line[at] == "&":
            at = _past_spaces(line, at + 1)
            continue
        link = _LINK.match(line, at)
        if link is None:
            sketch.complain(number, "not a link that Muster reads", _SUBSET)
            return
        sketch.links += 1
        sketch.text(number, link[1] or "")
        at = _past_spaces(line, link.end())


def _past_spaces(line: str, at: int) -> int:
    while at < len(line) and line[at] in " \t":
        at += 1
    return at

"""Diagrams: the declared subset of Mermaid, read line by line.

Not in it, on purpose: directives (`%%{`), front matter, clicks, styles and HTML. They change what a reader sees, or do
more than show.
"""

from __future__ import annotations

import re

from muster.check.documents.flowchart import read_flowchart
from muster.check.documents.readable import Bounds, first_few, objections
from muster.check.documents.sequence import read_sequence
from muster.check.documents.sketch import Diagram, Sketch

BOUNDS = Bounds(characters=64 * 1024, lines=1_000, columns=400)

_FLOWCHART = re.compile(r"flowchart (?:TB|TD|BT|LR|RL)")
_FIRST_LINE = "begin with `flowchart TB` (or TD, BT, LR, RL) or `sequenceDiagram`; no front matter, no directive"


def read_diagram(path: str, text: str) -> Diagram:
    """What the diagram shows, and every complaint about it (20 at most)."""
    refused = first_few(objections(path, text, BOUNDS))
    if refused:
        return Diagram(findings=refused)
    sketch = Sketch(path)
    lines = _significant(text)
    number, first = lines[0] if lines else (1, "")
    if _FLOWCHART.fullmatch(first):
        read_flowchart(sketch, lines[1:])
    elif first == "sequenceDiagram":
        read_sequence(sketch, lines[1:])
    else:
        sketch.complain(number, "not a diagram that Muster reads", _FIRST_LINE)
    if not sketch.findings and not sketch.links:
        sketch.complain(number, "nothing is linked to anything", "draw what goes from box to box")
    return Diagram(
        boxes=tuple(sketch.boxes.values()),
        boundaries=tuple(sketch.boundaries.values()),
        links=sketch.links,
        findings=first_few(iter(sketch.findings)),
    )


def drawn(text: str) -> tuple[str, ...]:
    """What a diagram draws, without comments and white space: two that are equal here show the same."""
    return tuple("".join(line.split()) for _, line in _significant(text))


def _significant(text: str) -> list[tuple[int, str]]:
    """Number and stripped text of each line that is neither empty nor a comment."""
    numbered = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in numbered if line and not _is_comment(line)]


def _is_comment(line: str) -> bool:
    return line.startswith("%%") and not line.startswith("%%{")

"""Sequence diagrams, as far as diagrams use them.

autonumber
participant id as label     actor id as label
a->>b: text   a-->>b: text   a->b   a-->b   a-xb   a--xb   a-)b   a--)b   with + or - before the receiver
Note over a,b: text   Note left of a: text   Note right of a: text
activate a   deactivate a
loop|opt|alt|par|critical|break text … else|and|option text … end
"""

from __future__ import annotations

import re

from muster.check.documents.sketch import BOX, Sketch

_MOST_OPEN = 8
_DECLARED = re.compile(rf"(?:participant|actor) ({BOX})(?: as (.+))?")
_MESSAGE = re.compile(rf"({BOX}) ?(?:--?>>|--?>|--?x|--?\)) ?[+-]?({BOX}) ?: ?(.+)")
_NOTE = re.compile(rf"Note (?:over ({BOX})(?: ?, ?({BOX}))?|(?:left|right) of ({BOX})) ?: ?(.+)")
_ACTIVE = re.compile(rf"(?:de)?activate ({BOX})")
_OPENS = re.compile(r"(loop|opt|alt|par|critical|break) (.+)")
_GOES_ON = re.compile(r"(else|and|option)(?: (.+))?")
_BELONGS = {"else": "alt", "and": "par", "option": "critical"}
_SUBSET = "write `a->>b: text`, with both declared above as `participant a as Label`"


def read_sequence(sketch: Sketch, lines: list[tuple[int, str]]) -> None:
    """Read every line after the first."""
    opened: list[tuple[int, str]] = []
    for number, line in lines:
        if line == "autonumber" or _declaration(sketch, number, line) or _block(sketch, number, line, opened):
            continue
        _step(sketch, number, line)
    for number, word in opened:
        sketch.complain(number, f"{word} does not end", "close it with `end`")


def _declaration(sketch: Sketch, number: int, line: str) -> bool:
    found = _DECLARED.fullmatch(line)
    if found is None:
        return False
    if found[1] in sketch.boxes:
        sketch.complain(number, f"{found[1]} is declared again", "declare each participant once")
    sketch.box(number, found[1], found[2] or "")
    return True


def _block(sketch: Sketch, number: int, line: str, opened: list[tuple[int, str]]) -> bool:
    """True if the line opens, continues or ends a block."""
    if line == "end":
        if not opened:
            sketch.complain(number, "nothing is open that could end", "delete this line")
        else:
            opened.pop()
        return True
    if found := _OPENS.fullmatch(line):
        sketch.text(number, found[2])
        opened.append((number, found[1]))
        if len(opened) > _MOST_OPEN:
            sketch.complain(number, f"more than {_MOST_OPEN} blocks inside each other", "draw another diagram")
        return True
    if found := _GOES_ON.fullmatch(line):
        sketch.text(number, found[2] or "")
        if not opened or opened[-1][1] != _BELONGS[found[1]]:
            sketch.complain(number, f"{found[1]} stands in no {_BELONGS[found[1]]}", "delete this line")
        return True
    return False


def _step(sketch: Sketch, number: int, line: str) -> None:
    message, note, active = _MESSAGE.fullmatch(line), _NOTE.fullmatch(line), _ACTIVE.fullmatch(line)
    named: tuple[str | None, ...] = ()
    if message is not None:
        sketch.links += 1
        sketch.text(number, message[3])
        named = (message[1], message[2])
    elif note is not None:
        sketch.text(number, note[4])
        named = (note[1], note[2], note[3])
    elif active is not None:
        named = (active[1],)
    else:
        sketch.complain(number, "not a statement that Muster reads", _SUBSET)
    for name in named:
        if name and name not in sketch.boxes:
            sketch.complain(number, f"{name} is not declared above", f"add `participant {name} as Label` at the top")

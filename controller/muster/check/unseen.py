"""Text that shows something else than it says: controls that reorder a line, invisible letters, twins of letters.

A reviewer approves what the screen shows. So a touched file of ours may hold no character that changes the direction
or is invisible, and no name of ours mixes scripts (Unicode Technical Report 36, Unicode Technical Standard 39).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from muster.check.case import Case
from muster.check.verdict import Verdict
from muster.kinds.finding import Place

_INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u2060\u2061\u2062\u2063\u2064\u3164\ufeff\uffa0"
)


def unseen_verdicts(case: Case) -> Iterator[Verdict]:
    """A failure for the first such character of each touched file, and for each touched path that is not plain."""
    for file in case.change.touched:
        if file.after is None:
            continue
        if not file.path.isascii() or not file.path.isprintable():
            yield _path(file.path)
            continue
        spot = _first_unseen(case.files.get(file.path) or "")
        if spot is not None:
            line, column, letter = spot
            yield Verdict(
                rule="change/unseen",
                subject=file.path,
                outcome="fail",
                message=f"the line holds U+{ord(letter):04X} ({_name(letter)}): it does not read as it looks",
                hint="remove the character; write it as an escape where a text really needs it",
                place=Place(file.path, line, column),
            )


def is_unseen(letter: str) -> bool:
    """True for characters that reorder text or that nobody sees, line breaks and tabs apart."""
    if letter in "\n\r\t":
        return False
    return letter in _INVISIBLE or unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")


def _first_unseen(text: str) -> tuple[int, int, str] | None:
    if text.isascii() and text.isprintable():
        return None
    for number, line in enumerate(text.split("\n"), 1):
        if line.isascii() and line.rstrip("\r").replace("\t", "").isprintable():
            continue
        for column, letter in enumerate(line, 1):
            if is_unseen(letter):
                return number, column, letter
    return None


def _path(path: str) -> Verdict:
    shown = path.encode("unicode_escape").decode()
    return Verdict(
        rule="change/path",
        subject=shown,
        outcome="fail",
        message=f"the name {shown[:200]} holds characters that can be taken for others",
        hint="name files with ASCII letters, digits, dot, hyphen and underscore",
        place=Place(shown),
    )


def _name(letter: str) -> str:
    return unicodedata.name(letter, "a control character").lower()

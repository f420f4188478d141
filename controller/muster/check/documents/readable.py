"""Whether a text is what it looks like: bounded, and without characters that hide or imitate others."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from muster.kinds.finding import Finding, Place

MOST_FINDINGS = 20
"""Of one file: who sees these knows that the rest is of the same kind."""

# Control characters apart from tab and line break, format characters (joiners, direction overrides, tags), separators,
# surrogates and private characters: all that an editor may show as nothing.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_PLAIN = re.compile(r"[\t\n\x20-\x7e]*")


@dataclass(frozen=True)
class Bounds:
    """How large a document may be, in characters and lines."""

    characters: int
    lines: int
    columns: int


def hidden_character(text: str) -> int | None:
    """Index of the first character that does not show, or makes others show elsewhere; None if there is none."""
    if _PLAIN.fullmatch(text):
        return None
    return next(
        (at for at, letter in enumerate(text) if letter not in "\t\n" and unicodedata.category(letter) in _HIDDEN), None
    )


def foreign_letter(text: str) -> str | None:
    """The first letter or digit that is not Latin: it may look like one that is."""
    if text.isascii():
        return None
    return next((letter for letter in text if letter.isalnum() and not _is_latin(letter)), None)


def named(letter: str) -> str:
    """A character by its number, since its look is what cannot be trusted."""
    return f"U+{ord(letter):04X}"


def objections(path: str, text: str, bounds: Bounds) -> Iterator[Finding]:
    """Why this text is not looked at any further: at most one finding."""
    if len(text) > bounds.characters:
        yield Finding(
            Place(path), "too-large", f"the file has {len(text)} characters", f"keep it under {bounds.characters}"
        )
        return
    lines = text.split("\n")
    if len(lines) > bounds.lines:
        yield Finding(Place(path), "too-large", f"the file has {len(lines)} lines", f"keep it under {bounds.lines}")
        return
    long = next((number for number, line in enumerate(lines, 1) if len(line) > bounds.columns), None)
    if long is not None:
        message = f"the line has {len(lines[long - 1])} characters"
        yield Finding(Place(path, long, 1), "too-large", message, f"break it before column {bounds.columns}")
        return
    at = hidden_character(text)
    if at is not None:
        place = Place(path, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        message = f"the character {named(text[at])} does not show in an editor"
        yield Finding(place, "hidden-character", message, "delete it")


def first_few(found: Iterator[Finding]) -> tuple[Finding, ...]:
    """As many findings as help."""
    return tuple(finding for finding, _ in zip(found, range(MOST_FINDINGS), strict=False))


def _is_latin(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN ")

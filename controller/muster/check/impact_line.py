"""The line of a pull request that says why no diagram, or no playbook, has to change.

    Diagram-Impact: none: <why>
    Playbook-Impact: none: <why>

It counts where a reader sees it as text: not in a code block, a quote or a comment. The key counts without case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from muster.check.documents.readable import foreign_letter, hidden_character

Needs = Literal["diagram", "playbook"]

MOST_CHARACTERS = 64 * 1024
"""As much as a forge lets a person write."""

_MOST_WHY = 500
_LEAST_WORDS = 3
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]{2,}")
_NONE = re.compile(r"none ?: ?(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class ImpactLine:
    """`why` is what the line says; `problem` is why it does not count. With neither, there is no such line."""

    why: str = ""
    problem: str = ""


def key_of(needs: Needs) -> str:
    """How the line begins."""
    return f"{needs.capitalize()}-Impact"


def impact_line(body: str, needs: Needs) -> ImpactLine:
    """The one line that the body has about it."""
    if len(body) > MOST_CHARACTERS:
        return ImpactLine(problem=f"the pull request's text has more than {MOST_CHARACTERS} characters")
    found = lines_of(body, key_of(needs))
    if not found:
        return ImpactLine()
    if len(found) > 1:
        return ImpactLine(problem=f"{key_of(needs)} stands {len(found)} times")
    return _read(found[0])


def lines_of(body: str, key: str) -> list[str]:
    """What follows the key, wherever it begins a line of text."""
    from muster.check.documents.playbook import blocks_of, without_code

    begins = re.compile(rf"{key}[ \t]*:[ \t]*(.*)", re.IGNORECASE | re.ASCII)
    found = []
    for block in blocks_of(body.replace("\r\n", "\n")):
        if block.kind == "paragraph" and not block.quoted:
            text = without_code(_COMMENT.sub("", block.text))
            found += [match[1].strip() for line in text.split("\n") if (match := begins.fullmatch(line.strip()))]
    return found


def _read(text: str) -> ImpactLine:
    if hidden_character(text) is not None:
        return ImpactLine(problem="the line holds a character that does not show")
    if foreign_letter(text) is not None:
        return ImpactLine(problem="the line holds letters that are not Latin, and may look like others")
    none = _NONE.fullmatch(text)
    if none is None:
        return ImpactLine(problem="the line does not say `none: <why>`")
    why = " ".join(none[1].split())
    if len(why) > _MOST_WHY:
        return ImpactLine(problem=f"the reason has more than {_MOST_WHY} characters")
    if len({word.lower() for word in _WORD.findall(why)}) < _LEAST_WORDS:
        return ImpactLine(problem="the line gives no reason; write a few words after `none:`")
    return ImpactLine(why)

r"""Neutral text: what others wrote, in a form that no reader of ours can take for an instruction.

Names, paths, messages, reasons and logins of a pull request are hostile. One function for each place that text goes to;
each takes any text, lone surrogates included, and bounds its length. All of them make visible what is not: controls,
bidi and zero-width characters, and letters that look like others are written as escapes (`\u202e`).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST: Final = 2_000
"""Letters of one text; what is longer is cut, with an ellipsis."""

_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters and marks by category, and yet nothing to see."""
_LOOK_ALIKE_SCRIPTS: Final = (
    "GREEK",
    "CYRILLIC",
    "ARMENIAN",
    "CHEROKEE",
    "COPTIC",
    "LISU",
    "GEORGIAN",
    "OLD",
    "GLAGOLITIC",
)
_MOST_MARKS: Final = 2
_WORD: Final = re.compile(r"[^\s/\\:,;()\[\]{}<>\"'`|=]+")


def visible(text: str, longest: int = LONGEST) -> str:
    """One line in which every character can be seen and is what it looks like."""
    cut = text if len(text) <= longest else text[: max(0, longest - 1)] + "…"
    return _WORD.sub(lambda found: _without_look_alikes(found[0]), _without_controls(cut))


def identifier(text: str, longest: int = 200) -> str:
    """A name, path or login: ours are ASCII, so everything else in one is written as an escape."""
    return "".join(
        letter if letter == "…" or " " <= letter <= "~" else _escape(letter) for letter in visible(text, longest)
    )


def terminal(text: str, longest: int = LONGEST) -> str:
    """For a terminal or a log, where a runner would read `::command::` and `##[command]` out of what is printed."""
    return visible(text, longest).replace("::", ":\\u003a").replace("##[", "#\\u0023[")


def annotation_message(text: str) -> str:
    """The message of a workflow command, on one line."""
    return visible(text, 4_000).replace("%", "%25")


def annotation_property(text: str) -> str:
    """A property's value in a workflow command."""
    return annotation_message(text).replace(":", "%3A").replace(",", "%2C")


def sarif_message(text: str) -> str:
    """A SARIF plain text message, in which brackets would make links and braces placeholders."""
    escaped = re.sub(r"([\\\[\]])", r"\\\1", visible(text))
    return escaped.replace("{", "{{").replace("}", "}}")


def xml_text(text: str) -> str:
    """Text that XML can hold; the writer of the XML still has to escape its markup."""
    return visible(text)


def mermaid_label(text: str, longest: int = 60) -> str:
    """The inside of a quoted label: no quote, bracket, brace, entity or directive can be in it."""
    shown = re.sub(r"[^A-Za-z0-9 ._/%:,-]", "_", identifier(text, longest))
    return re.sub(r"%{2,}", "%", shown) or "_"


def code(text: str, longest: int = 200) -> str:
    """A Markdown code span, also for table cells. Forges find no mention, reference or link in one.

    There is no backtick or bar left inside that could end the span or the cell: they are written as escapes.
    """
    shown = visible(text, longest).replace("`", "\\u0060").replace("|", "\\u007c").strip()
    return f"`{shown}`" if shown else ""


def name_code(text: str, longest: int = 200) -> str:
    """A name, path or login as a Markdown code span."""
    return code(identifier(text, longest), LONGEST)


_PLAIN: Final = re.compile(
    r"""[("']*                                  # opening
        (?: [^\W\d_]+(?:[-'’][^\W\d_]+)*         # a word
          | \d{1,6}(?:\.\d{1,6})?(?:%|[a-zA-Zµ]{1,3})?(?![.)\w])  # a number, with its unit; no number of a list
          | [→≥≤–—·…]+ )
        [)"'.,;:!?]*                            # closing""",
    re.VERBOSE,
)
_COMMIT: Final = re.compile(r"(?<!\w)[0-9a-f]{7,}(?!\w)", re.IGNORECASE)
_ALWAYS_LINKED: Final = re.compile(r"gh-|http|www|mailto|xmpp|ftp", re.IGNORECASE)


def markdown(text: str, longest: int = LONGEST) -> str:
    """Markdown that shows the text and does nothing: plain words stay, whatever could have a meaning is in code spans.

    Forges look for mentions, references, links and emoji after Markdown has been read, so backslashes do not help; in
    code they look for none. What the text has in backticks is shown as code, too.
    """
    parts = visible(text, longest).split("`")
    return " ".join(filter(None, (code(part, longest) if odd else _prose(part) for odd, part in _alternating(parts))))


def _alternating(parts: list[str]) -> list[tuple[int, str]]:
    return [(number % 2, part) for number, part in enumerate(parts)]


def _prose(text: str) -> str:
    shown: list[str] = []
    held: list[str] = []
    for word in text.split():
        if _is_plain(word):
            shown += [*_held(held), word]
            held = []
        else:
            held.append(word)
    return " ".join([*shown, *_held(held)])


def _held(words: list[str]) -> list[str]:
    """These words as one code span; a sign that ends a clause stays outside."""
    text = " ".join(words)
    inside = text.rstrip(",;:")
    return [code(inside, LONGEST) + text[len(inside) :]] if inside else [code(text)] if text else []


def _is_plain(word: str) -> bool:
    return bool(_PLAIN.fullmatch(word)) and not _COMMIT.search(word) and not _ALWAYS_LINKED.search(word)


def _escape(letter: str) -> str:
    return ascii(letter)[1:-1] if ord(letter) > 0x7F or not letter.isprintable() else f"\\u{ord(letter):04x}"


def _without_controls(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    marks = 0
    for letter in text:
        marks = marks + 1 if unicodedata.combining(letter) else 0
        hidden = not letter.isprintable() or letter in _BLANK or _is_variation(letter) or marks > _MOST_MARKS
        shown.append(_escape(letter) if hidden else letter)
    return "".join(shown)


def _is_variation(letter: str) -> bool:
    """Variation selectors change nothing that is seen, and can carry a text of their own."""
    return 0xFE00 <= ord(letter) <= 0xFE0F or 0xE0100 <= ord(letter) <= 0xE01EF


def _without_look_alikes(word: str) -> str:
    """A word of one alphabet stays; in one that mixes ours with another, the other's letters are escaped."""
    if word.isascii():
        return word
    mixed = any("a" <= letter.lower() <= "z" for letter in word)
    return "".join(
        _escape(letter) if _is_disguised(letter) or (mixed and _is_look_alike(letter)) else letter for letter in word
    )


def _is_disguised(letter: str) -> bool:
    """Full-width, mathematical and other forms of ASCII letters, digits and signs."""
    return letter != "…" and not letter.isascii() and unicodedata.normalize("NFKC", letter).isascii()


def _is_look_alike(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(_LOOK_ALIKE_SCRIPTS)

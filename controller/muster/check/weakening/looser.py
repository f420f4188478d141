"""What every comparison of before and after answers in, and how lists of named things are compared.

A list holds as much as before if each thing that stood in it is matched by one that asks for at least as much, whatever
its name and wherever it stands. So neither a new order nor a new name is a weakening, and a new name that hides a lower
threshold is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from muster.kinds.finding import Pointer

GONE = "nothing"
_LONGEST = 80

_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Looser:
    """One respect in which a thing asks for less than before: its field as YAML spells it (dotted where it is deeper;
    empty for the thing as a whole), and both values as text.

    `why` says what makes it looser where before and after do not show it.
    """

    what: str
    field: str
    before: str
    after: str
    why: str = ""


@dataclass(frozen=True)
class Weakening:
    """One loosening with its place. `about` names what is loosened: "tier production, gate accuracy-kept"."""

    what: str
    about: str
    before: str
    after: str
    where: Pointer
    why: str = ""

    @property
    def message(self) -> str:
        """One sentence with before → after."""
        reason = f" ({self.why})" if self.why else ""
        return f"{self.about}: {self.before} → {self.after}{reason}"


@dataclass(frozen=True)
class Unmatched:
    """The thing at `before` is not matched any more. `after` is the index of the one that has its name, if any."""

    before: int
    after: int | None
    looser: tuple[Looser, ...] = ()


def unmatched(
    before: Sequence[_Thing],
    after: Sequence[_Thing],
    looser: Callable[[_Thing, _Thing], tuple[Looser, ...]],
    name: Callable[[_Thing], str],
    unusable: Collection[str] = (),
) -> Iterator[Unmatched]:
    """Everything before that nothing after asks for as strictly. Names in `unusable` match nothing but themselves."""
    for index, old in enumerate(before):
        found = [
            (name(new) == name(old), number, looser(old, new))
            for number, new in enumerate(after)
            if name(new) == name(old) or name(new) not in unusable
        ]
        if any(not lost for _, _, lost in found):
            continue
        same = [(len(lost), number, lost) for named, number, lost in found if named]
        if same:
            _, number, lost = min(same)
            yield Unmatched(index, number, lost)
        else:
            yield Unmatched(index, None)


def located(lost: Looser, about: str, thing: Pointer) -> Weakening:
    """A loosened field of the thing that stands at `thing`."""
    if not lost.field:
        return Weakening(lost.what, about, lost.before, lost.after, thing, lost.why)
    where = Pointer(thing.file, (*thing.path, *lost.field.split(".")))
    return Weakening(lost.what, f"{about}: {lost.field}", lost.before, lost.after, where, lost.why)


def shown(text: str) -> str:
    """A declared text for a message: bounded, and without characters that a terminal or a reader could mistake."""
    safe = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:_LONGEST])
    return f'"{safe}…"' if len(text) > _LONGEST else f'"{safe}"'


def listed(names: Collection[str]) -> str:
    """Names in their order, or the word for none."""
    return ", ".join(sorted(names)) or GONE

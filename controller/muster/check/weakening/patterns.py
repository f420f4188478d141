"""Whether a path pattern contains another, and whether two may mean the same path.

Neither guesses: `covers` is only true where it is certain, `may_overlap` only false where it is.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from muster.check.paths import matches

_ANY_DEPTH = "**"


def covers(wide: str, narrow: str) -> bool:
    """True if every path that `narrow` means is meant by `wide` too."""
    if wide == narrow:
        return True
    stem = narrow.removesuffix("/" + _ANY_DEPTH)
    if "*" not in wide:
        return stem == wide or narrow.startswith(wide + "/")
    last = wide.rpartition("/")[2]
    # Only then does `wide` reach below whatever it matches, as a folder does.
    reaches_below = last == _ANY_DEPTH or "*" not in last
    return "*" not in stem and reaches_below and matches(wide, stem)


def may_overlap(one: str, other: str) -> bool:
    """False only if no path is meant by both."""
    for left, right in zip(one.split("/"), other.split("/"), strict=False):
        if _ANY_DEPTH in (left, right):
            return True
        if "*" in left and "*" in right:
            continue
        if not (fnmatchcase(left, right) or fnmatchcase(right, left)):
            return False
    return True


def field_covers(wide: str, narrow: str) -> bool:
    """True if the dotted field `narrow` is `wide`, or lies within it."""
    return narrow == wide or narrow.startswith(wide + ".")

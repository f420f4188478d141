"""Paths: whether a path of the repository is one that a rule is about. The same answer for owners and for impact."""

from __future__ import annotations

from fnmatch import fnmatchcase

_ANY_DEPTH = "**"


def matches(pattern: str, path: str) -> bool:
    """True if `pattern` means `path`, both written from the top of the repository with forward slashes.

    `*` stands for anything within one folder, `**` for any depth, none included; a pattern that ends in a plain name
    means that path and everything below it, and so does one that ends in `/**`. Case counts, as it does in git.
    `docs/*` means what stands directly in `docs`, as in CODEOWNERS. Costs at most (parts of pattern) x (parts of path),
    and next to nothing where the two differ before the first star.
    """
    plain, star, _ = pattern.partition("*")
    if not star:
        return path == plain or path.startswith(f"{plain}/")
    if not f"{path}/".startswith(plain):
        return False
    parts = pattern.split("/")
    if parts[-1] != _ANY_DEPTH and "*" not in parts[-1]:
        parts.append(_ANY_DEPTH)
    reached = _skipping(parts, {0})
    for segment in path.split("/"):
        reached = _skipping(parts, {after for at in reached for after in _after(parts, at, segment)})
        if not reached:
            return False
    return len(parts) in reached


def _after(parts: list[str], at: int, segment: str) -> tuple[int, ...]:
    """Which part of the pattern may come next once `segment` was read at part `at`; empty if it does not fit."""
    if at == len(parts):
        return ()
    if parts[at] == _ANY_DEPTH:
        return (at,)
    return (at + 1,) if fnmatchcase(segment, parts[at]) else ()


def _skipping(parts: list[str], reached: set[int]) -> set[int]:
    """`reached`, and what is reached from there if each `**` stands for no folder at all."""
    found = set(reached)
    for start in reached:
        end = start
        while end < len(parts) and parts[end] == _ANY_DEPTH:
            end += 1
        found.update(range(start, end + 1))
    return found

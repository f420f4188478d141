"""Hold: an artifact that was halted, and is not offered again until a commit says so on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from muster.kinds.release import Release

AGAIN: Final = "Muster-Offer-Again"
"""Trailer of a commit that names a halted release anew: `Muster-Offer-Again: <model>/<version>`."""
_LONGEST_REASON: Final = 2_000


@dataclass(frozen=True)
class Hold:
    """`after` is the commit at which it was halted, or its revert once there is one: only later commits can say so."""

    artifact: str
    release: str
    reason: str
    after: str


def hold_of(release: Release, reason: str, commit: str) -> Hold:
    """The hold on the artifact of a release that was halted when `commit` was what git said."""
    return Hold(release.spec.artifact.digest, release.name, reason[:_LONGEST_REASON], commit)


def says_so(hold: Hold, messages: Iterable[str]) -> bool:
    """True if one of these commit messages names the release anew, or takes its revert back."""
    named = re.compile(rf"(?m)^{AGAIN}: {re.escape(hold.release)}[ \t]*$")
    return any(named.search(text) or f"This reverts commit {hold.after}" in text for text in messages)

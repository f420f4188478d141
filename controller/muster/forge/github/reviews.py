"""From reviews to approvals. Pure.

A person's last opinion counts: an approval, unless the same person later asked for changes, or it was dismissed. A
comment is no opinion. The text of a review is never read: everybody with write access may edit it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from muster.forge.github.answers import ReviewAnswer, User
from muster.kinds.pull_request import Approval

_OPINIONS = frozenset({"APPROVED", "CHANGES_REQUESTED", "DISMISSED"})
_EARLIEST = datetime.min.replace(tzinfo=UTC)


def approvals_of(reviews: Iterable[ReviewAnswer], author: User | None) -> tuple[Approval, ...]:
    """One approval for each person whose last opinion is one, bound to the commit that it was given for."""
    last: dict[str, ReviewAnswer] = {}
    for review in sorted(reviews, key=lambda review: (review.submitted_at or _EARLIEST, review.id)):
        if review.user is not None and review.user.is_person and review.state.upper() in _OPINIONS:
            last[review.user.login.casefold()] = review
    if author is not None:
        last.pop(author.login.casefold(), None)
    return tuple(
        Approval(review.user.login, review.commit_id, review.submitted_at.astimezone(UTC))
        for _, review in sorted(last.items())
        if review.state.upper() == "APPROVED" and review.user and review.commit_id and review.submitted_at
    )

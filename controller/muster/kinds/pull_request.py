"""A pull request as a forge tells it: who asks, who approved which commit, and who signed the commits.

Everything here is said by somebody else. `body` and titles are hostile text; logins and signatures count only as far as
the forge, or a verified signature, vouches for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class Approval:
    """`by` approved exactly the commit `commit`. `of` narrows it: "" is the change, or "checklist/<item>"."""

    by: str
    commit: str
    at: datetime
    of: str = ""


@dataclass(frozen=True)
class CommitSignature:
    """What was found out about a commit's signature against the people of the base. `by` is a login."""

    state: Literal["good", "bad", "unknown-key", "unsigned", "unreadable"]
    scheme: Literal["ssh", "gpg", "gitsign", "none"] = "none"
    by: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class ProposedCommit:
    """A commit that the pull request would bring in. `author` is a login where one is known, else an address."""

    commit: str
    author: str
    signature: CommitSignature = CommitSignature("unsigned")


@dataclass(frozen=True)
class PullRequest:
    """`author` is None where nobody can tell. `commits` run from the oldest to the newest."""

    base: str
    head: str
    author: str | None = None
    title: str = ""
    body: str = ""
    number: int | None = None
    approvals: tuple[Approval, ...] = ()
    commits: tuple[ProposedCommit, ...] = field(default=())
    forge: str = ""
    """Who told all this: "github", "git", or "" where nobody did (then approvals are unknown, not absent)."""

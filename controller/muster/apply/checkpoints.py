"""Checkpoints of the ledger, pushed with its rows to `refs/muster/ledger`, so that a clone alone can answer.

Rules it keeps:
- Append-only: each commit adds one segment and its checkpoint to the one before; the ref only moves forward, and only
  from where this controller saw it. Another history there is never written over, but told of.
- Nothing waits for it: it works in the background, one push at a time, and what failed is tried again after a pause.
- Nothing is kept but in git: a mirror that was deleted takes up the ledger where the origin has it.
- Rows that do not continue what was checkpointed (a state folder from an older backup) are not pushed.
"""

from __future__ import annotations

import concurrent.futures
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, func, select

from muster.apply.identity import Identity
from muster.attest.dsse import UntrustedKey
from muster.attest.keys import key_id, public_half
from muster.attest.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from muster.attest.ledger.in_git import NEWEST, REF, checkpoint_path, segment_path, tip, trust_at
from muster.attest.ledger.segment import cut
from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable
from muster.observe.storage import ledger
from muster.source.git import Repository
from muster.source.git_program import run_git
from muster.source.git_remote import fetch_ref, push_ref

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=10)
MOST_SEGMENTS: Final = 50
"""Segments of one push; what is left follows with the next."""

_PUSHED: Final = "refs/muster/ledger-pushed"
_ORIGIN: Final = "refs/muster/ledger-origin"
_HINT = f"compare with muster ledger verify; to begin a new ledger, move {REF} of the origin to another name"


@dataclass(frozen=True)
class Ledger:
    """Whose ledger is pushed where: the storage, the mirror of the origin, who commits, and the key (PEM)."""

    engine: Engine
    repository: Repository
    identity: Identity
    signing_key: bytes


def push_checkpoints(source: Ledger, now: datetime) -> int:
    """Checkpoint what the ledger has beyond the last one, and push it; how many events the origin has then.

    Raises `Refused` (the rows do not continue what was checkpointed, the origin has another history or refuses),
    `TryAgain`, `Unusable`.
    """
    repository = source.repository
    local = tip(repository)
    if local is None and fetch_ref(repository, REF, REF):
        local = tip(repository)
        _set(repository, _PUSHED, local)
    local, length = _extend(source, local, now)
    if local is not None and local != tip(repository, _PUSHED):
        _push(repository, local)
    return length


def newest_checkpoint(source: Ledger, commit: str) -> Checkpoint:
    """The newest checkpoint of the ledger at a commit. Raises `Refused` if nobody whom the fleet knows signed it."""
    own = public_half(source.signing_key)
    file = source.repository.show_file(commit, NEWEST) or b""
    try:
        return open_checkpoint(file, {key_id(own): own})
    except UntrustedKey:
        # The key was replaced: the fleet says which one it had.
        head = source.repository.resolve(source.identity.branch)
        return open_checkpoint(file, trust_at(source.repository, head).ever)


def _extend(source: Ledger, local: str | None, now: datetime) -> tuple[str | None, int]:
    """Commit the rows after the newest checkpoint; the newest commit (None if the ledger is empty), and its length."""
    before = newest_checkpoint(source, local) if local else None
    with source.engine.connect() as connection:
        length = connection.execute(select(func.max(ledger.c.sequence))).scalar() or 0
        if before is not None:
            _must_continue(connection, before, length)
        done = before.length if before else 0
        rows = connection.execute(select(ledger).where(ledger.c.sequence > done).order_by(ledger.c.sequence))
        segments = list(islice(cut(dict(row) for row in rows.mappings()), MOST_SEGMENTS))
    for segment, last, head in segments:
        file = sign_checkpoint(before, segment, (last, head), now, source.signing_key)
        before = open_checkpoint(file, {key_id(pem := public_half(source.signing_key)): pem})
        local = _commit(source, local, before, {"checkpoint": file, "segment": segment}, now)
    return local, before.length if before else 0


def _must_continue(connection: Any, before: Checkpoint, length: int) -> None:
    if length < before.length:
        raise Refused(
            f"the ledger has {length} events, and {before.length} were checkpointed: truncated, or restored",
            _HINT,
        )
    head = connection.execute(select(ledger.c.digest).where(ledger.c.sequence == before.length)).scalar()
    if head != before.head:
        raise Refused(f"event {before.length} of the ledger is not the one that was checkpointed", _HINT)


def _commit(source: Ledger, parent: str | None, made: Checkpoint, files: dict[str, bytes], now: datetime) -> str:
    repository, author = source.repository, source.identity.author
    parent = parent or _first(repository, now)
    changes: dict[str, bytes | None] = {
        NEWEST: files["checkpoint"],
        checkpoint_path(made.number): files["checkpoint"],
        segment_path(made.number): files["segment"],
    }
    message = f"Ledger: events {made.first} to {made.length}\n\nNewest: {made.head}\n"
    commit = repository.commit_files(parent, changes, message, author, now)
    _set(repository, REF, commit)
    return commit


def _first(repository: Repository, now: datetime) -> str:
    """A commit that holds nothing, for the first checkpoint to stand on."""
    time = f"@{int(now.timestamp())} +0000"
    tree = repository.git("hash-object", "-w", "-t", "tree", "--stdin")
    answer = run_git(
        [f"--git-dir={repository.git_folder}", "commit-tree", tree.text, "-F", "-"],
        repository.path,
        given=b"The ledger of a fleet\n",
        environment={"GIT_AUTHOR_DATE": time, "GIT_COMMITTER_DATE": time},
    )
    if answer.code != 0:
        raise Unusable(f"cannot begin a ledger: {answer.reason}", f"see git fsck in {repository.path}")
    return answer.text


def _push(repository: Repository, local: str) -> None:
    if not push_ref(repository, local, REF, tip(repository, _PUSHED) or ""):
        there = tip(repository, _ORIGIN) if fetch_ref(repository, REF, _ORIGIN) else None
        if there is not None and repository.git("merge-base", "--is-ancestor", there, local).code != 0:
            raise Refused(f"the ledger at the origin has another history than this one, at {there[:12]}", _HINT)
        # It went back, or what was pushed was forgotten: what is here continues it.
        if there != local and not push_ref(repository, local, REF, there or ""):
            raise TryAgain(f"{REF} moves at this moment", "it is pushed again soon")
    _set(repository, _PUSHED, local)


def _set(repository: Repository, reference: str, commit: str | None) -> None:
    answer = repository.git("update-ref", reference, commit or "")
    if answer.code != 0:
        raise TryAgain(f"cannot set {reference}: {answer.reason}", "another git works there")


class Checkpoints:
    """Pushes in the background. `start` returns at once; `trouble` says why the last push failed."""

    def __init__(self, engine: Engine, mirror: Path, identity: Identity, signing_key: bytes) -> None:
        # A repository of its own: its calls run beside those of the loop.
        self._source = Ledger(engine, Repository(mirror), identity, signing_key)
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._running: concurrent.futures.Future[int] | None = None
        self._failures = 0
        self._pushed = 0
        self._not_before: datetime | None = None
        self.trouble: str | None = None

    def start(self, now: datetime) -> None:
        """Begin to push what is new, unless a push is under way or the pause after a failed one is not over."""
        self.settle(now)
        if self._running is not None or (self._not_before is not None and now < self._not_before):
            return
        with self._source.engine.connect() as connection:
            length = connection.execute(select(func.max(ledger.c.sequence))).scalar() or 0
        # A tick that changes nothing asks git nothing.
        if length != self._pushed:
            self._running = self._pool.submit(push_checkpoints, self._source, now)

    def settle(self, now: datetime, *, wait: bool = False) -> None:
        """Take note of a push that ended; with `wait`, of the one that is under way."""
        if self._running is None or not (wait or self._running.done()):
            return
        error = self._running.exception()
        self._pushed = self._pushed if error else self._running.result()
        self._running = None
        self.trouble = None if error is None else error.message if isinstance(error, MusterError) else repr(error)
        self._failures = self._failures + 1 if error else 0
        pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE) if error else None
        self._not_before = now + pause if pause else None

    def stop(self) -> None:
        """Start no other push, and wait for the one that runs."""
        self._pool.shutdown(wait=True, cancel_futures=True)

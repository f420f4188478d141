"""Git notes: text beside a commit, in a ref of its own, which travels with fetch and push.

Notes are read as blobs and appended whole; `git notes` does the bookkeeping. Whoever may push may change them, so that
nothing in a note counts unless it is signed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from muster.kinds.errors import Refused, TryAgain, Unusable
from muster.source.git import Repository
from muster.source.git_program import MIB, run_git

APPROVALS: Final = "refs/notes/muster/approvals"
VERDICTS: Final = "refs/notes/muster/verdicts"
STATUSES: Final = "refs/notes/muster/statuses"
LARGEST: Final = MIB


def read_note(repository: Repository, ref: str, commit: str) -> str:
    """The note on a commit; "" where there is none. Raises `Refused` above 1 MiB, `Unusable`."""
    listed = repository.git("notes", f"--ref={ref}", "list", commit)
    if listed.code != 0:
        return ""
    size = repository.git("cat-file", "-s", listed.text)
    if size.code != 0 or not size.text.isdigit():
        raise Unusable(f"the note on {commit} in {ref} is damaged: {size.reason}", "run git fsck in that repository")
    if int(size.text) > LARGEST:
        raise Refused(
            f"the note on {commit} in {ref} has more than {LARGEST} bytes",
            f"shorten it: git notes --ref={ref} edit {commit}",
        )
    return repository.blobs([listed.text])[listed.text].decode(errors="replace")


def append_note(repository: Repository, ref: str, commit: str, text: str, at: datetime) -> None:
    """Add lines to the note on a commit. Raises `TryAgain` if the ref is locked, `Unusable`."""
    _write(repository, ["notes", f"--ref={ref}", "append", "-F", "-", commit], text, at)


def replace_note(repository: Repository, ref: str, commit: str, text: str, at: datetime) -> None:
    """Set the note on a commit. Raises `TryAgain` if the ref is locked, `Unusable`."""
    _write(repository, ["notes", f"--ref={ref}", "add", "-f", "-F", "-", commit], text, at)


def _write(repository: Repository, arguments: list[str], text: str, at: datetime) -> None:
    time = f"@{int(at.timestamp())} +0000"
    answer = run_git(
        [f"--git-dir={repository.git_folder}", *arguments],
        repository.path,
        given=text.encode(errors="replace"),
        environment={"GIT_AUTHOR_DATE": time, "GIT_COMMITTER_DATE": time},
    )
    if answer.code == 0:
        return
    if ".lock" in answer.errors or "cannot lock" in answer.errors:
        raise TryAgain(f"cannot write a note: {answer.reason}", "another git works there, or its lock was left behind")
    raise Unusable(f"cannot write a note: {answer.reason}", "see that the repository can be written to")

"""Mirrors, fetches, pushes and forward moves of a branch.

A push is a compare-and-set: it holds only if the branch still is where the caller saw it, and the new commit descends
from there. Pushing to somebody's work tree goes through a fast-forward merge in that work tree, because git refuses
to move a branch under it; changes that its owner has not committed are never lost.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from muster.kinds.errors import MusterError, Refused, TryAgain, Unusable
from muster.source.git_program import Answer, printable, run_git

if TYPE_CHECKING:
    from muster.source.git import Repository

NETWORK_SECONDS = 300.0
_OUTGOING = "refs/muster/outgoing"
_REMOTE = re.compile(
    r"(?:https?|ssh|git|file)://[^\s-][^\s]{0,2000}|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:[^\s-][^\s]{0,2000}"
)
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")


def make_mirror(url: str, path: Path) -> None:
    """Make the bare repository `path` with `url` as its origin, unless it is there already."""
    origin = _origin(url)
    if path.exists():
        there = run_git([f"--git-dir={path}", "config", "--get", "remote.origin.url"], path).text
        if there != origin:
            raise Refused(
                f"{path} mirrors {_without_secret(there) or 'nothing'}, not {_without_secret(origin)}",
                "use another state folder, or delete the mirror: it holds nothing of its own",
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + f".{os.getpid()}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for arguments in (
            ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(unfinished)],
            [f"--git-dir={unfinished}", "config", "remote.origin.url", origin],
            [f"--git-dir={unfinished}", "config", "remote.origin.fetch", "+refs/heads/*:refs/heads/*"],
        ):
            answer = run_git(arguments, path.parent)
            if answer.code != 0:
                raise Unusable(
                    f"cannot make the mirror {path}: {answer.reason}", "name a state folder that can be written to"
                )
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def fetch(mirror: Repository) -> None:
    """All branches of the origin, and its HEAD if the mirror's points nowhere."""
    arguments = ["fetch", "--quiet", "--prune", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
    answer = mirror.git(*arguments, "origin", seconds=NETWORK_SECONDS)
    if answer.code != 0:
        raise _try_again("fetch", answer)
    if mirror.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").code == 0:
        return
    named = mirror.git("ls-remote", "--symref", "origin", "HEAD", seconds=NETWORK_SECONDS)
    head = re.match(r"ref: (refs/heads/[^\s]+)\tHEAD", named.output.decode(errors="replace"))
    if head:
        mirror.git("symbolic-ref", "HEAD", head[1])


def push(mirror: Repository, commit: str, branch: str, expected: str) -> None:
    """Move the origin's branch forward; see `Repository.push`."""
    _must_descend(mirror, commit, expected)
    origin = _work_tree_origin(mirror, branch)
    if origin is None:
        _push_to_remote(mirror, commit, branch, expected)
        return
    if _tip(origin, branch) == commit:
        return
    answer = mirror.git("update-ref", _OUTGOING, commit)
    if answer.code == 0:
        arguments = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
        answer = origin.git(*arguments, str(mirror.path), _OUTGOING, seconds=NETWORK_SECONDS)
    if answer.code != 0:
        raise _try_again("hand the commit over", answer)
    advance(origin, commit, branch, expected)


def tip_of(mirror: Repository, reference: str) -> str:
    """What a ref of the origin is at; empty if the origin has none of that name. Raises `TryAgain`."""
    listed = mirror.git("ls-remote", "origin", reference, seconds=NETWORK_SECONDS)
    if listed.code != 0:
        raise _try_again(f"ask for {reference}", listed)
    return listed.text.partition("\t")[0]


def fetch_ref(mirror: Repository, reference: str, into: str) -> bool:
    """Bring a ref that is no branch; False if the origin has none of that name. Raises `TryAgain`."""
    listed = mirror.git("ls-remote", "origin", reference, seconds=NETWORK_SECONDS)
    if listed.code != 0:
        raise _try_again(f"ask for {reference}", listed)
    if not listed.output:
        return False
    arguments = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]
    answer = mirror.git(*arguments, "origin", f"+{reference}:{into}", seconds=NETWORK_SECONDS)
    if answer.code != 0:
        raise _try_again(f"fetch {reference}", answer)
    return True


def push_ref(mirror: Repository, commit: str, reference: str, expected: str) -> bool:
    """Set a ref of the origin, without any work tree; `expected` is what it must be at, "" for nothing. An empty
    `commit` takes it away.

    False if it is at something else. Raises `Refused` if the origin refuses such refs, else `TryAgain`.
    """
    lease = f"--force-with-lease={reference}:{expected}"
    answer = mirror.git(
        "push", "--porcelain", "--no-verify", lease, "origin", f"{commit}:{reference}", seconds=NETWORK_SECONDS
    )
    if answer.code == 0:
        return True
    line = _rejection(answer)
    if "stale info" in line or "fetch first" in line or "non-fast-forward" in line:
        return False
    if "remote rejected" in line and "lock" not in line and "failed to update ref" not in line:
        raise Refused(
            f"the origin refuses the push to {reference}: {printable(line.partition('[remote rejected]')[2].strip())}",
            f"let Muster push to {reference}",
        )
    raise _try_again("push", answer)


def advance(repository: Repository, commit: str, branch: str, expected: str) -> None:
    """Move a branch of this very repository forward; see `Repository.advance`."""
    _must_descend(repository, commit, expected)
    tip = _tip(repository, branch)
    if tip == commit:
        return
    if tip != expected:
        raise _moved_on(branch, expected)
    if repository.bare or repository.branch() != branch:
        answer = repository.git("update-ref", f"refs/heads/{branch}", commit, expected)
        if answer.code != 0:
            raise TryAgain(f"cannot move {branch}: {answer.reason}", "another git moves it at this moment")
        return
    answer = repository.git(f"--work-tree={repository.path}", "merge", "--ff-only", "--quiet", "--no-stat", commit)
    if answer.code != 0:
        raise _merge_error(repository, branch, answer)


def _merge_error(repository: Repository, branch: str, answer: Answer) -> MusterError:
    if "index.lock" in answer.errors:
        return TryAgain(
            f"the work tree {repository.path} is locked", "another git works there, or left its index.lock behind"
        )
    if "would be overwritten" in answer.errors:
        return Refused(
            f"the work tree {repository.path} has changes of its own in the same files: {answer.reason}",
            "commit, stash or undo them, then try again; nothing was changed",
        )
    return Refused(
        f"{branch} in {repository.path} cannot move forward: {answer.reason}",
        "bring the work tree in order (git status), then try again",
    )


def _push_to_remote(mirror: Repository, commit: str, branch: str, expected: str) -> None:
    reference = f"refs/heads/{branch}"
    lease = f"--force-with-lease={reference}:{expected}"
    answer = mirror.git(
        "push", "--porcelain", "--no-verify", lease, "origin", f"{commit}:{reference}", seconds=NETWORK_SECONDS
    )
    if answer.code == 0:
        return
    line = _rejection(answer)
    if "stale info" in line or "fetch first" in line or "non-fast-forward" in line:
        raise _moved_on(branch, expected)
    if "remote rejected" in line and "lock" not in line and "failed to update ref" not in line:
        raise Refused(
            f"the origin refuses the push to {branch}: {printable(line.partition('[remote rejected]')[2].strip())}",
            "let Muster push to this branch, or let it open pull requests instead",
        )
    raise _try_again("push", answer)


def _rejection(answer: Answer) -> str:
    """The line of a push in which the origin says why it does not take a ref."""
    return next((line for line in answer.output.decode(errors="replace").splitlines() if line.startswith("!")), "")


def _work_tree_origin(mirror: Repository, branch: str) -> Repository | None:
    """The origin, if it is a local repository whose work tree shows this branch."""
    url = mirror.git("config", "--get", "remote.origin.url").text
    if not url.startswith("/"):
        return None
    origin = type(mirror)(Path(url))
    return origin if not origin.bare and origin.branch() == branch else None


def _must_descend(repository: Repository, commit: str, expected: str) -> None:
    answer = repository.git("merge-base", "--is-ancestor", expected, commit)
    if answer.code == 1:
        raise Refused(f"{commit} does not descend from {expected}", "a branch only moves forward: commit on its tip")
    if answer.code != 0:
        raise Unusable(f"cannot compare {commit} with {expected}: {answer.reason}", "fetch first")


def _tip(repository: Repository, branch: str) -> str:
    return repository.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}").text


def _moved_on(branch: str, expected: str) -> Refused:
    return Refused(f"{branch} is no longer at {expected}", "fetch, and decide again from the new commit")


def _try_again(what: str, answer: Answer) -> TryAgain:
    hint = "see whether the origin is reachable and may be read"
    if "dubious ownership" in answer.errors:
        hint = "the origin belongs to another user: name a git configuration with safe.directory in MUSTER_GIT_CONFIG"
    elif re.search(r"could not read (?:Username|Password)|Permission denied|Authentication failed", answer.errors):
        hint = "give ssh a key, or name a git configuration with a credential helper in MUSTER_GIT_CONFIG"
    return TryAgain(f"cannot {what}: {_without_secret(answer.reason)}", hint)


def _origin(url: str) -> str:
    """The URL, or the absolute path of a local repository."""
    if _REMOTE.fullmatch(url):
        return url
    if "::" in url or "://" in url or url.startswith("-") or not url.isprintable():
        raise Unusable(
            f"not a repository: {_without_secret(printable(url))[:200]!r}",
            "name a folder, or a remote as https://…, ssh://… or user@host:path",
        )
    return str(Path(url).resolve())


def _without_secret(text: str) -> str:
    return _SECRET.sub("***@", text)

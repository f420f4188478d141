"""The state folder belongs to one controller at a time, and what a killed one left half-done is cleared away."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from muster.kinds.errors import Refused, Unusable


@contextlib.contextmanager
def hold_state(state: Path) -> Iterator[None]:
    """Hold a state folder. Raises `Refused` if another controller holds it, `Unusable` if it is not one."""
    if not (state / "keys").is_dir():
        raise Unusable(f"{state} is not a controller's state folder", "make one: muster keys init")
    with (state / "controller.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                f"another controller uses {state}", "stop it first, or give this one a state folder of its own"
            ) from error
        clear_leftovers(state)
        yield


def clear_leftovers(state: Path) -> None:
    """Remove what only a killed process leaves behind. Call it while holding the folder.

    Locks that git took in the mirror, folders of builds, and files that were never renamed into place.
    """
    for lock in (state / "repository.git").rglob("*.lock"):
        lock.unlink(missing_ok=True)
    for unfinished in (*state.glob("repository.git.*.new"), *state.glob("prepare-*")):
        shutil.rmtree(unfinished, ignore_errors=True)
    for folder in ("store", "public", "signatures"):
        for incoming in (state / folder).rglob(".incoming-*"):
            incoming.unlink(missing_ok=True)

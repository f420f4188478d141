"""Watching the refs of a local repository, so that a commit is seen at once. A remote one is polled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer


class _Waker(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        # Reading a ref raises events too; only what changed one matters.
        if event.event_type in ("created", "modified", "moved", "deleted"):
            self._wake()


@contextmanager
def watch_refs(repository: str, wake: Callable[[], None]) -> Iterator[bool]:
    """Call `wake` whenever a ref of a local repository may have changed; yields False if it is not local."""
    folder = Path(repository)
    git_folder = folder / ".git" if (folder / ".git").is_dir() else folder
    if not (git_folder / "refs").is_dir():
        yield False
        return
    observer = Observer()
    observer.schedule(_Waker(wake), str(git_folder / "refs"), recursive=True)
    observer.start()
    try:
        yield True
    finally:
        observer.stop()
        observer.join()
